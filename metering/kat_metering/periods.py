"""Windows of time that reports are about: whole hours in UTC, since usage is rolled up by the hour."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Self

from kat_metering.errors import FieldError, InvalidError

_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class Window:
    """From an hour (inclusive) to an hour (exclusive)."""

    start: datetime
    end: datetime

    @classmethod
    def month(cls, text: str, *, field: str = "month") -> Self:
        """The calendar month `YYYY-MM`. Raises InvalidError for anything else."""
        match = _MONTH.fullmatch(text)
        if match is None or not 1970 <= int(match[1]) < 9999:  # noqa: PLR2004 - the range of UUIDv7 and of datetime
            raise InvalidError(f"{field} must look like 2026-11.", errors=[FieldError(field, "expected YYYY-MM")])
        start = datetime(int(match[1]), int(match[2]), 1, tzinfo=UTC)
        return cls(start, (start + timedelta(days=31)).replace(day=1))

    @classmethod
    def between(cls, start: str | None, end: str | None, *, now: datetime) -> Self:
        """From `start` (default: the first of this month) to `end` (default: the end of this hour).

        Both are dates or times with an offset, on whole hours; a date stands for its midnight in UTC. Raises
        InvalidError.
        """
        this_hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        last = this_hour + timedelta(hours=1) if end is None else _moment(end, "to")
        if start is not None:
            first = _moment(start, "from")
        else:
            first = min(this_hour, last - timedelta(hours=1)).replace(day=1, hour=0)
        if first >= last:
            raise InvalidError("from must be earlier than to.", errors=[FieldError("from", "must be earlier than to")])
        return cls(first, last)


def _moment(text: str, field: str) -> datetime:
    try:
        if len(text) == len("2026-11-24"):
            return datetime.combine(date.fromisoformat(text), time(tzinfo=UTC))
        parsed = datetime.fromisoformat(text)
        # Without an offset it would be taken for the server's local time.
        moment = parsed.astimezone(UTC) if parsed.tzinfo else None
    except (ValueError, OverflowError):
        moment = None
    if moment is None:
        message = "expected a date, or a time with an offset such as Z"
        raise InvalidError(f"{field} is not a time.", errors=[FieldError(field, message)])
    if moment.minute or moment.second or moment.microsecond:
        raise InvalidError(f"{field} must be a whole hour in UTC.", errors=[FieldError(field, "must be a whole hour")])
    return moment
