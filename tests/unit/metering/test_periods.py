"""Windows of reports: whole hours in UTC."""

from datetime import UTC, datetime

import pytest

from kat_metering.errors import InvalidError
from kat_metering.periods import Window

NOW = datetime(2026, 11, 24, 12, 34, 56, tzinfo=UTC)


@pytest.mark.parametrize(
    ("month", "start", "end"),
    [
        ("2026-11", datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)),
        ("2026-12", datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
        ("2028-02", datetime(2028, 2, 1, tzinfo=UTC), datetime(2028, 3, 1, tzinfo=UTC)),
    ],
)
def test_a_month_runs_to_the_first_of_the_next(month: str, start: datetime, end: datetime) -> None:
    assert Window.month(month) == Window(start, end)


@pytest.mark.parametrize("month", ["2026-13", "2026-1", "26-01", "2026-01-01", "", "9999-12", "1969-12"])
def test_what_is_no_month_is_refused_by_field(month: str) -> None:
    with pytest.raises(InvalidError) as refused:
        Window.month(month)
    assert refused.value.errors[0].field == "month"


def test_the_default_is_this_month_up_to_the_end_of_this_hour() -> None:
    assert Window.between(None, None, now=NOW) == Window(
        datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 24, 13, tzinfo=UTC)
    )


def test_with_an_end_in_the_past_the_default_start_is_the_first_of_its_month() -> None:
    assert Window.between(None, "2026-10-01", now=NOW).start == datetime(2026, 9, 1, tzinfo=UTC)


def test_a_date_stands_for_its_midnight_in_utc() -> None:
    assert Window.between("2026-11-01", "2026-11-02", now=NOW) == Window(
        datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)
    )


def test_a_time_with_an_offset_is_taken_in_utc() -> None:
    assert Window.between("2026-11-01T02:00:00+02:00", None, now=NOW).start == datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize("moment", ["yesterday", "2026-11-31", "2026-11-01T12:00:00", "2026-11-01T12:30:00Z"])
@pytest.mark.parametrize("field", ["from", "to"])
def test_what_is_no_whole_hour_with_an_offset_is_refused_by_field(moment: str, field: str) -> None:
    with pytest.raises(InvalidError) as refused:
        Window.between(moment if field == "from" else None, moment if field == "to" else None, now=NOW)
    assert refused.value.errors[0].field == field


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(InvalidError):
        Window.between("2026-11-02", "2026-11-02", now=NOW)
