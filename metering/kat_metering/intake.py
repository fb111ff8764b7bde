"""What of a delivery is taken in, and why the rest is not. Pure: bytes in, events and rejections out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn

import orjson
from pydantic import ValidationError

from kat.usage_event import MAX_BATCH, UsageEvent
from kat_metering.errors import BadRequestError, TooLargeError
from kat_metering.wire_event import WireEvent, from_judged, read_plain

EARLIEST: Final = datetime(2025, 1, 1, tzinfo=UTC)
"""Older than the platform itself: such a time comes from a broken clock."""
MAX_SEGMENT_TOKENS: Final = 1_000_000_000
"""Thousands of times the longest context. More is an error of the sender, and would overflow the sums of an hour."""
MAX_SECONDS: Final = 10_000_000
"""115 days: no request takes longer."""

_MAX_DETAILS: Final = 5
_MAX_REASON: Final = 2_000
_MAX_ID: Final = 200


@dataclass(frozen=True, slots=True)
class Rejection:
    """An event that was not taken in."""

    index: int
    """Its place in the delivery."""
    id: str | None
    """Its id, as the sender wrote it."""
    reason: str
    body: str
    """The event as JSON in ASCII, control characters and lone surrogates escaped."""


@dataclass(frozen=True, slots=True)
class Intake:
    """A delivery, judged. `events` and `rejections` together are all of it."""

    body: bytes
    events: list[tuple[int, WireEvent]]
    """Places in the delivery, and events to store; the same id may come twice."""
    rejections: list[Rejection]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Which times are plausible."""

    max_age: timedelta
    max_ahead: timedelta

    def around(self, now: datetime) -> Span:
        return Span(max(EARLIEST, now - self.max_age), now + self.max_ahead)


@dataclass(frozen=True, slots=True)
class Span:
    """The plausible times of a delivery, both ends included."""

    first: datetime
    last: datetime


def read_delivery(body: bytes, *, now: datetime, bounds: Bounds) -> Intake:
    """Judge each event of a JSON array by itself.

    Raises BadRequestError where the body is no JSON array of 1 event or more, TooLargeError for more than MAX_BATCH.
    """
    span = bounds.around(now)
    events = read_plain(body)
    if events is None:
        # Something in it is wrong. Now it matters what, so read it again the slow way, event by event.
        return _judge_one_by_one(body, span)
    _check_size(events)
    if any(implausible(event, span) for event in events):
        return _judge_one_by_one(body, span)
    return Intake(body, list(enumerate(events)), [])


def reject(item: object, index: int, reason: str) -> Rejection:
    """The rejection of an item of a delivery."""
    return Rejection(index, _id_of(item), _printable(reason), _ascii(item))


def implausible(event: WireEvent, span: Span) -> str | None:
    """Why a valid event cannot be true, or None."""
    if event.time > span.last:
        return f"time: {event.time.isoformat()} is in the future"
    if event.time < span.first:
        return f"time: {event.time.isoformat()} is too long ago"
    usage, tokens = event.data, event.data.tokens
    largest = max(tokens.prompt, tokens.prompt_cached, tokens.judge, tokens.think, tokens.answer, tokens.control)
    if largest > MAX_SEGMENT_TOKENS:
        return f"data.tokens: {largest} tokens in one segment are implausible"
    if max(usage.duration_ms / 1000, usage.engine_seconds) > MAX_SECONDS:
        return f"data: a request of more than {MAX_SECONDS} seconds is implausible"
    return None


def _judge_one_by_one(body: bytes, span: Span) -> Intake:
    items = items_of(body)
    _check_size(items)
    events: list[tuple[int, WireEvent]] = []
    rejections: list[Rejection] = []
    for index, item in enumerate(items):
        try:
            # From JSON text, whose rules differ a little from those for Python's objects.
            judged = UsageEvent.model_validate_json(_ascii(item))
        except ValidationError as error:
            rejections.append(reject(item, index, _what_is_wrong(error)))
            continue
        event = from_judged(judged.model_dump_json().encode())
        reason = implausible(event, span)
        if reason is None:
            events.append((index, event))
        else:
            rejections.append(reject(item, index, reason))
    return Intake(body, events, rejections)


def items_of(body: bytes) -> list[Any]:
    """The items of the array, as they were sent. Raises BadRequestError where the body is none."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        parsed = _lenient(body)
    if not isinstance(parsed, list):
        raise BadRequestError("The body must be a JSON array of usage events.")
    return parsed


def _lenient(body: bytes) -> Any:
    # The grammar of JSON lets a string hold half a surrogate pair, which orjson refuses. One event with such a string
    # must not take its neighbours with it.
    def no_constant(name: str) -> NoReturn:
        raise ValueError(f"{name} is no JSON")

    try:
        return json.loads(body.decode(), parse_constant=no_constant)
    except UnicodeDecodeError as error:
        raise BadRequestError(f"The body is not UTF-8: byte {error.start}.") from error
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"The body is not JSON: {error}.") from error


def _check_size(items: Sequence[object]) -> None:
    if not items:
        raise BadRequestError("The array holds no event.")
    if len(items) > MAX_BATCH:
        raise TooLargeError(f"A delivery holds {MAX_BATCH} events at most; this one has {len(items)}.")


def _ascii(item: object) -> str:
    return json.dumps(item, ensure_ascii=True, separators=(",", ":"))


def _printable(text: str) -> str:
    # Senders choose parts of it, and it goes into a database that refuses NUL and lone surrogates.
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)[:_MAX_REASON]


def _id_of(item: object) -> str | None:
    found = item.get("id") if isinstance(item, dict) else None
    return None if found is None else _printable(str(found))[:_MAX_ID]


def _what_is_wrong(error: ValidationError) -> str:
    """The first things that are wrong, each with its field."""
    details = error.errors(include_url=False, include_input=False, include_context=False)
    shown = details[:_MAX_DETAILS]
    reasons = [f"{'.'.join(str(part) for part in detail['loc']) or 'event'}: {detail['msg']}" for detail in shown]
    if len(details) > len(shown):
        reasons.append(f"and {len(details) - len(shown)} more")
    return "; ".join(reasons)
