"""Shadow samples: what is compared, which requests are drawn, and what is kept of them. No text is."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from kat.usage_event import Count, LabelValue, Milliseconds, Mode, Name

REFERENCE_JUDGE = "reference"
"""The judge of a verdict that compares with a known right answer."""


class Verdict(StrEnum):
    """What our answer is, beside the baseline's."""

    BETTER = "better"
    SAME = "same"
    WORSE = "worse"


class Message(BaseModel):
    """A turn of a conversation."""

    model_config = ConfigDict(extra="allow", frozen=True)

    role: Annotated[str, Field(min_length=1)]
    content: Any = None


class Prompt(BaseModel):
    """One line of a file of prompts: a chat request whose author agreed to have it sent to the baseline too."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    messages: Annotated[list[Message], Field(min_length=1)]
    consent: bool = False
    """Without it the request goes nowhere."""
    task: LabelValue = ""
    """The kind of work, as live requests have it in the label `task`."""
    reference: str | None = None
    """The right answer: each answer is compared with it, and no judge is asked."""
    max_tokens: Annotated[int, Field(gt=0)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    reasoning_effort: Literal["none", "low", "medium", "high"] | None = None
    """For our service alone: the baseline works as it does."""


class PromptFileError(ValueError):
    """A line of the file is no prompt; the message names it."""


def read_prompts(lines: Iterable[bytes]) -> Iterator[Prompt]:
    """The prompts of a file of JSON Lines; empty lines are skipped. Raises PromptFileError."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield Prompt.model_validate_json(line)
            except ValidationError as error:
                first = error.errors(include_input=False)[0]
                where = ".".join(str(part) for part in first["loc"])
                raise PromptFileError(f"line {number}: {where + ': ' if where else ''}{first['msg']}") from error


def drawn(prompts: Iterable[Prompt], share: float, seed: int) -> Iterator[Prompt]:
    """A simple random sample: each prompt with the probability `share`; a seed draws the same ones again."""
    dice = random.Random(seed)  # noqa: S311 - a sample, not a secret
    return (prompt for prompt in prompts if dice.random() < share)


def verdict_by_reference(reference: str, ours: str, theirs: str) -> Verdict:
    """Right or wrong, by the reference answer; letter case and white space do not matter."""
    expected = _plain(reference)
    right = (_plain(ours) == expected, _plain(theirs) == expected)
    if right[0] == right[1]:
        return Verdict.SAME
    return Verdict.BETTER if right[0] else Verdict.WORSE


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


class Sample(BaseModel):
    """What is kept of one request that both models answered."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: UUID
    event_id: UUID | None = None
    """Of our answer's usage event."""
    taken_at: AwareDatetime
    model: Name
    mode: Literal[Mode.ON, Mode.OFF]
    task: LabelValue
    prompt_tokens: Count
    tokens_ours: Count
    """Completion tokens, as our engine counted them."""
    tokens_baseline: Count
    """As the baseline's did."""
    latency_ours_ms: Milliseconds
    """Until the whole answer was there."""
    latency_baseline_ms: Milliseconds
    verdict: Verdict | None = None
    judge: Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]*$")] | None = None
    """Who gave the verdict: the name of a model, or `reference`."""

    @model_validator(mode="after")
    def _a_verdict_has_a_judge(self) -> Self:
        if (self.verdict is None) != (self.judge is None):
            raise ValueError("verdict and judge go together")
        return self


class StratumSummary(BaseModel):
    """The samples of one stratum."""

    model_config = ConfigDict(frozen=True)

    model: str
    mode: str
    task: str
    prompt_bucket: str
    samples: int
    judged: int
    no_worse: int
    tokens_ours: int
    tokens_baseline: int
    latency_ours_ms: float | None
    """The mean."""
    latency_baseline_ms: float | None
    first_at: datetime
    last_at: datetime
