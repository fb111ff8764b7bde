"""The usage event in the form that is quickest to read and to write into a COPY: a mirror of `kat.usage_event`.

Pydantic is the judge of what an event may be, and it takes five times as long as msgspec does. What is accepted here
is what Pydantic accepts, with the same values (a property test compares the two); what is refused here proves nothing
and is put before Pydantic.
"""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from kat.usage_event import EVENT_TYPE, MAX_LABELS

_Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_Amount = Annotated[float, Meta(ge=0, le=sys.float_info.max)]
_Name = Annotated[str, Meta(min_length=1, max_length=200)]
_LabelKey = Annotated[str, Meta(min_length=1, max_length=40, pattern=r"\A[A-Za-z0-9_.\-/]+\Z")]
_LabelValue = Annotated[str, Meta(max_length=80)]

_MILLISECOND: Final = 0.99
"""How far `time` and the id's timestamp may differ: less than the millisecond allowed, for floats are inexact."""
# Version and variant of an id that begins with 48 bits of milliseconds (RFC 9562, 5.7).
_KIND: Final = 0xF << 76 | 0b11 << 62
_UUID7: Final = 7 << 76 | 0b10 << 62
# Postgres refuses NUL in texts, and so does the judge in most of them. Whether such an escape is one is its affair.
_NUL: Final = b"\\u0000"


class WireTokens(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Tokens by segment."""

    prompt: _Count = 0
    prompt_cached: _Count = 0
    judge: _Count = 0
    think: _Count = 0
    answer: _Count = 0
    control: _Count = 0


class WireUsage(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """The data of an event."""

    tenant: _Name
    api_key_id: UUID | None = None
    project: _Name = "default"
    model: _Name
    mode: Literal["on", "off", "undecided"]
    mode_source: Literal["model", "instruction", "request", "budget"]
    tokens: WireTokens
    status: Literal["ok", "length", "aborted", "error"]
    finish_reason: Annotated[str, Meta(max_length=40)] | None = None
    ttft_ms: _Amount | None = None
    ttfa_ms: _Amount | None = None
    duration_ms: _Amount
    engine_seconds: _Amount
    labels: Annotated[dict[_LabelKey, _LabelValue], Meta(max_length=MAX_LABELS)] = {}


class WireEvent(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """A CloudEvent."""

    specversion: Literal["1.0"] = "1.0"
    type: Literal["dev.autothink.usage.v1"] = EVENT_TYPE
    id: UUID
    source: _Name
    subject: _Name
    time: Annotated[datetime, Meta(tz=True)]
    datacontenttype: Literal["application/json"] = "application/json"
    data: WireUsage

    @property
    def ended_ms(self) -> float:
        """When the request ended, in milliseconds since 1970."""
        return (self.id.int >> 80) + self.data.duration_ms


_BATCH: Final = msgspec.json.Decoder(list[WireEvent])
_ONE: Final = msgspec.json.Decoder(WireEvent)


def read_plain(body: bytes) -> list[WireEvent] | None:
    """The events of a JSON array, or None where not all of them are plainly valid."""
    if _NUL in body:
        return None
    try:
        events = _BATCH.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        # Whatever it is: the judge, who reads it next, has the better words for it.
        return None
    return events if all(map(_agrees_with_itself, events)) else None


def from_judged(event_json: bytes) -> WireEvent:
    """An event that Pydantic has accepted and written."""
    return _ONE.decode(event_json)


def _agrees_with_itself(event: WireEvent) -> bool:
    bits = event.id.int
    return (
        bits & _KIND == _UUID7
        and event.subject == event.data.tenant
        and abs(event.time.timestamp() * 1000 - (bits >> 80)) < _MILLISECOND
    )
