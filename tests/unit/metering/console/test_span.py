"""The days of a page, both ends included."""

from datetime import UTC, date, datetime

import pytest

from kat_metering.console.span import Span
from kat_metering.errors import InvalidError

NOW = datetime(2026, 11, 24, 21, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (None, None, (date(2026, 11, 1), date(2026, 11, 24))),
        ("", "2026-10-20", (date(2026, 10, 1), date(2026, 10, 20))),
        ("2026-11-24", None, (date(2026, 11, 24), date(2026, 11, 24))),
    ],
)
def test_a_span_is_this_month_by_default(first: str | None, last: str | None, expected: tuple[date, date]) -> None:
    """Until today, from the first of the last day's month."""
    span = Span.between(first, last, now=NOW)
    assert (span.first, span.last) == expected


def test_the_last_day_is_included() -> None:
    """Reports take the end as exclusive, so theirs is the day after."""
    span = Span.between("2026-10-31", "2026-11-01", now=NOW)
    assert (span.window.start, span.window.end) == (
        datetime(2026, 10, 31, tzinfo=UTC),
        datetime(2026, 11, 2, tzinfo=UTC),
    )
    assert span.days == [date(2026, 10, 31), date(2026, 11, 1)]


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("2026-11-02", "2026-11-01"),
        ("yesterday", None),
        (None, "2026-13-01"),
        ("0001-01-01", None),
        (None, "9999-12-31"),
        ("2020-01-01", "2026-01-01"),
    ],
)
def test_a_span_that_cannot_be_is_refused(first: str | None, last: str | None) -> None:
    """The wrong way round, no day at all, out of range, or too long to draw."""
    with pytest.raises(InvalidError):
        Span.between(first, last, now=NOW)
