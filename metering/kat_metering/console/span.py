"""The days that a page is about. People name the last day that they mean; reports want the first that they do not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Self

from fastapi import Depends, Query

from kat_metering.api.services import WithServices
from kat_metering.errors import FieldError, InvalidError
from kat_metering.periods import Window

_DAY = timedelta(days=1)
_LONGEST = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class Span:
    """From a day to a day, both included, in UTC."""

    first: date
    last: date

    @classmethod
    def between(cls, first: str | None, last: str | None, *, now: datetime) -> Self:
        """Defaults: the first of the last day's month, and today. Raises InvalidError."""
        until = _day(last, "to") or now.astimezone(UTC).date()
        since = _day(first, "from") or until.replace(day=1)
        if not since <= until:
            raise InvalidError("from is later than to.", errors=[FieldError("from", "must not be later than to")])
        if until - since > _LONGEST:
            message = f"at most {_LONGEST.days} days"
            raise InvalidError("That is too long a time.", errors=[FieldError("from", message)])
        return cls(since, until)

    @property
    def window(self) -> Window:
        return Window(_midnight(self.first), _midnight(self.last + _DAY))

    @property
    def days(self) -> list[date]:
        return [self.first + _DAY * place for place in range((self.last - self.first).days + 1)]


def _day(text: str | None, field: str) -> date | None:
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise InvalidError(f"{field} is not a day.", errors=[FieldError(field, "expected YYYY-MM-DD")]) from error
    if not 1970 <= day.year < 9999:  # noqa: PLR2004 - the range of UUIDv7 and of datetime
        raise InvalidError(f"{field} is out of range.", errors=[FieldError(field, "expected 1970 to 9998")])
    return day


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _asked(
    services: WithServices,
    first: Annotated[str | None, Query(alias="from")] = None,
    last: Annotated[str | None, Query(alias="to")] = None,
) -> Span:
    return Span.between(first, last, now=services.clock())


AskedSpan = Annotated[Span, Depends(_asked)]
"""Type of a route's parameter that receives the days of the query, `from` and `to`."""
