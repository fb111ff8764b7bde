"""The solver, the thinker and the critic: what each is asked, and how its reply is read. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from kat.usage_event import Mode
from kat_predictor.autothink.instruction import explicit_instruction
from kat_training.corpus import sample_id
from kat_training.sample import Check, Difficulty, Language, Message, Sample

Role = Literal["solver", "thinker", "critic"]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
_Reply = TypeVar("_Reply", bound=BaseModel)

_SOLVER: Final = "Answer the question. Reply with the answer alone, as short as possible, without any explanation."
_THINKER: Final = (
    "You write a training sample for a model that decides whether to think. You get a question and a draft answer. "
    "Work the question out, mend the draft where it is wrong, and reply with one JSON object and nothing else: "
    '{"judgement": "one short sentence: why the question needs reasoning, or not", "needs_thinking": true or false, '
    '"reasoning": "the steps, at most 60 words", "answer": "the final answer alone"}. '
    "Write in the language of the question."
)
_CRITIC: Final = (
    "You review a training sample. Check the reasoning step by step, the answer, and whether the choice to think fits "
    'the question. Reply with one JSON object and nothing else: {"score": 0 to 10, "remark": "what to mend"}. '
    "10 is right in every step; a wrong answer is 3 at most."
)


class Question(BaseModel):
    """One line of a questions file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    question: Text
    language: Language = "en"
    kind: Text = "teacher"
    difficulty: Difficulty = "medium"
    check: Check = "text"
    reference: Text | None = None
    """A known answer: the teacher's has to agree with it."""
    tests: tuple[str, ...] = ()
    """For code: what has to be true of the teacher's."""

    @model_validator(mode="after")
    def _can_be_checked(self) -> Question:
        if self.check == "code" and not self.tests:
            raise ValueError("code needs tests")
        if self.check == "keyword":
            raise ValueError("keywords are of the templates' own questions")
        return self

    @property
    def messages(self) -> tuple[Message, ...]:
        return (Message("user", self.question),)

    @property
    def id(self) -> str:
        return sample_id(self.messages)


class Thought(BaseModel):
    """The thinker's reply."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    judgement: Text
    needs_thinking: bool
    reasoning: str
    answer: Annotated[str, StringConstraints(strip_whitespace=True)]


class Verdict(BaseModel):
    """The critic's reply."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    score: Annotated[float, Field(ge=0, le=10)]
    remark: str = ""


class Garbage(ValueError):
    """A reply that is not what was asked for."""


def solver_messages(question: Question) -> Sequence[Message]:
    return (Message("system", _SOLVER), Message("user", question.question))


def thinker_messages(question: Question, draft: str, remark: str | None) -> Sequence[Message]:
    """The first time with the solver's draft; later with the thinker's own answer and what the critic had against it."""
    asked = {"question": question.question, "draft": draft} | ({} if remark is None else {"critic": remark})
    return (Message("system", _THINKER), Message("user", _json(asked)))


def critic_messages(question: Question, thought: Thought) -> Sequence[Message]:
    given = {"question": question.question, **thought.model_dump()}
    if question.reference is not None:
        given["known_answer"] = question.reference
    return (Message("system", _CRITIC), Message("user", _json(given)))


def read_thought(text: str) -> Thought:
    """Raises Garbage where the reply has no such JSON object."""
    return _read(text, Thought)


def read_verdict(text: str) -> Verdict:
    """Raises Garbage where the reply has no such JSON object."""
    return _read(text, Verdict)


def sample_from(question: Question, thought: Thought) -> Sample:
    """The sample that a thought makes, always of the training split: what a model judged is nothing to measure by.

    Where the answer is known, the sample has it in its known form; whether the thought agrees is for `checks` to say.
    """
    instructed = explicit_instruction(question.question)
    mode = instructed or (Mode.ON if thought.needs_thinking else Mode.OFF)
    return Sample(
        id=question.id,
        split="train",
        template=f"teacher/{question.kind}",
        family="teacher",
        kind=question.kind,
        language=question.language,
        difficulty=question.difficulty,
        mode=mode,
        mode_from="instruction" if instructed else "prior",
        messages=question.messages,
        judgement=thought.judgement,
        working=thought.reasoning.strip(),
        answer=question.reference or thought.answer,
        check=question.check,
        tests=question.tests,
    )


def _read(text: str, kind: type[_Reply]) -> _Reply:
    begin, end = text.find("{"), text.rfind("}")
    try:
        return kind.model_validate(orjson.loads(text[begin : end + 1]))
    except (orjson.JSONDecodeError, ValidationError) as error:
        raise Garbage(f"no {kind.__name__.lower()} in the reply") from error


def _json(value: Mapping[str, object]) -> str:
    return orjson.dumps(value).decode()
