"""The usage event: what the predictor says of one request, and the only truth that metering keeps.

A CloudEvents 1.0 object in JSON. It carries counts and identities, never prompt or answer text.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final, Literal
from uuid import UUID

import uuid_utils.compat as uuid_utils
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

EVENT_TYPE: Final = "dev.autothink.usage.v1"
BATCH_CONTENT_TYPE = "application/cloudevents-batch+json"
MAX_BATCH = 1_000
"""Events in one delivery to metering, at most."""

_MAX_BIGINT = 2**63 - 1
_TIME_ORDERED = 7  # the UUID version whose leading bits are a timestamp


class ModeAsked(StrEnum):
    """What a request asks for."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


class Mode(StrEnum):
    """What a request got. `undecided`: it ended before anybody had chosen."""

    ON = "on"
    OFF = "off"
    UNDECIDED = "undecided"


class ModeSource(StrEnum):
    """Who chose the mode, or whose turn it was when the request ended undecided."""

    MODEL = "model"
    INSTRUCTION = "instruction"
    REQUEST = "request"
    BUDGET = "budget"


class Segment(StrEnum):
    """Where a token belongs. Segments are disjoint.

    The prompt tokens of the OpenAI API are `prompt` + `prompt_cached`; its completion tokens are
    `judge` + `think` + `answer` + `control`; its reasoning tokens are `judge` + `think`.
    """

    PROMPT = "prompt"
    PROMPT_CACHED = "prompt_cached"
    JUDGE = "judge"
    THINK = "think"
    ANSWER = "answer"
    CONTROL = "control"


class Status(StrEnum):
    """How a request ended. `rejected` is counted in metrics only: it used nothing."""

    OK = "ok"
    LENGTH = "length"
    ABORTED = "aborted"
    ERROR = "error"
    REJECTED = "rejected"


Count = Annotated[int, Field(ge=0, le=_MAX_BIGINT)]
Milliseconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
LabelKey = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9_.\-/]+$")]
LabelValue = Annotated[str, StringConstraints(max_length=80, pattern=r"^[^\x00]*$")]
MAX_LABELS = 8


class Tokens(BaseModel):
    """Tokens of one request by segment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: Count = 0
    prompt_cached: Count = 0
    judge: Count = 0
    think: Count = 0
    answer: Count = 0
    control: Count = 0

    @property
    def prompt_total(self) -> int:
        return self.prompt + self.prompt_cached

    @property
    def completion(self) -> int:
        """Completion tokens as the engine counted them."""
        return self.judge + self.think + self.answer + self.control

    @property
    def reasoning(self) -> int:
        return self.judge + self.think


class Usage(BaseModel):
    """The data of the event."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tenant: Name
    api_key_id: UUID | None = None
    project: Name = "default"
    model: Name
    mode: Mode
    mode_source: ModeSource
    tokens: Tokens
    status: Literal[Status.OK, Status.LENGTH, Status.ABORTED, Status.ERROR]
    finish_reason: Annotated[str, StringConstraints(max_length=40)] | None = None
    ttft_ms: Milliseconds | None = None
    """Time to the first token of any kind, from the start of the request."""
    ttfa_ms: Milliseconds | None = None
    """Time to the first token of the answer."""
    duration_ms: Milliseconds
    engine_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """The request's share of the engine's busy time."""
    labels: Annotated[dict[LabelKey, LabelValue], Field(max_length=MAX_LABELS)] = Field(default_factory=dict)


class UsageEvent(BaseModel):
    """CloudEvents 1.0, structured mode."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    specversion: Literal["1.0"] = "1.0"
    type: Literal["dev.autothink.usage.v1"] = EVENT_TYPE
    id: UUID
    source: Name
    subject: Name
    time: AwareDatetime
    datacontenttype: Literal["application/json"] = "application/json"
    data: Usage

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> UsageEvent:
        if self.id.version != _TIME_ORDERED:
            raise ValueError("id must be a UUIDv7")
        if self.subject != self.data.tenant:
            raise ValueError("subject must be the tenant of the data")
        if abs(self.time - time_of(self.id)) > timedelta(milliseconds=1):
            raise ValueError("time must be the timestamp of the id")
        return self


def new_event_id() -> UUID:
    """A UUIDv7, minted before the engine is called."""
    return uuid_utils.uuid7()


def time_of(event_id: UUID) -> datetime:
    """The moment a UUIDv7 was minted, in UTC, to the millisecond (RFC 9562, 5.7)."""
    milliseconds = event_id.int >> 80
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC)
