"""The moments that a page asks for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kat_metering.boards.window import Window

NOW = datetime(2026, 11, 25, 12, 34, 56, tzinfo=UTC)


@settings(max_examples=30)
@given(
    st.timedeltas(min_value=timedelta(seconds=10), max_value=timedelta(days=400)),
    st.sampled_from([1, 5, 15, 60]).map(lambda seconds: timedelta(seconds=seconds)),
)
def test_a_window_ends_now_and_has_as_many_moments_as_can_be_told_apart(length: timedelta, scrape: timedelta) -> None:
    window = Window.until(NOW, length, scrape_interval=scrape)
    assert window.moments[-1] == window.end == NOW
    assert len(window.moments) <= 181
    assert window.step % scrape == timedelta(0)
    assert window.length <= max(length, window.step)


@pytest.mark.parametrize(
    ("length", "scrape", "rate"),
    [
        (timedelta(minutes=10), 15, "60000ms"),
        (timedelta(hours=24), 15, "495000ms"),
        (timedelta(minutes=1), 1, "4000ms"),
    ],
)
def test_a_rate_is_as_long_as_a_step_and_four_scrapes(length: timedelta, scrape: int, rate: str) -> None:
    assert Window.until(NOW, length, scrape_interval=timedelta(seconds=scrape)).rate_interval == rate


def test_a_moment_is_found_by_its_seconds() -> None:
    window = Window.until(NOW, timedelta(hours=24), scrape_interval=timedelta(seconds=15))
    assert [window.place(moment.timestamp()) for moment in window.moments] == list(range(len(window.moments)))
