"""Months and the ids that bound them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kat.usage_event import new_event_id, time_of
from kat_metering.store.partitions import first_id_at, month_after, month_named, month_of, months_around, partition_name
from tests.fakes.usage_events import id_at

moments = st.integers(0, 75 * 365 * 86_400_000).map(
    lambda ms: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
)


@given(moments)
def test_an_id_lies_in_the_month_of_its_time(moment: datetime) -> None:
    event_id = id_at(moment)
    month = month_of(time_of(event_id))
    assert first_id_at(month) <= event_id < first_id_at(month_after(month))


def test_a_fresh_id_is_not_below_the_bound_of_the_moment_before_it() -> None:
    before = datetime.now(UTC)
    assert new_event_id() >= first_id_at(before.replace(microsecond=before.microsecond // 1000 * 1000))


@given(moments, st.integers(-500, 500))
def test_months_are_counted_across_years(moment: datetime, months: int) -> None:
    month = month_of(moment)
    later = month_after(month, months)
    assert (later.year * 12 + later.month) - (month.year * 12 + month.month) == months
    assert month_of(later) == later


def test_a_month_begins_at_midnight_in_utc() -> None:
    shanghai = timezone(timedelta(hours=8))
    assert month_of(datetime(2026, 3, 1, 7, 59, tzinfo=shanghai)) == datetime(2026, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "names"),
    [
        (datetime(2026, 6, 15, tzinfo=UTC), ["2026_04", "2026_05", "2026_06", "2026_07", "2026_08"]),
        (datetime(2026, 1, 1, tzinfo=UTC), ["2025_11", "2025_12", "2026_01", "2026_02", "2026_03"]),
    ],
)
def test_two_months_behind_and_ahead_are_made_beforehand(now: datetime, names: list[str]) -> None:
    assert [partition_name(month) for month in months_around(now)] == [f"usage_event_{name}" for name in names]


@given(moments)
def test_a_partition_is_named_for_its_month(moment: datetime) -> None:
    month = month_of(moment)
    assert month_named(partition_name(month)) == month
