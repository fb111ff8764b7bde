"""Rates of a replica's counters, from one look after another."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kat.usage_event import Mode
from kat_operator.autoscaler.counters import MIN_SPAN_SECONDS, CounterHistory
from kat_operator.autoscaler.series import Samples, Series, Signal, Window

ARRIVALS = Series(Signal.ARRIVALS, Mode.ON)
IN_FLIGHT = Series(Signal.IN_FLIGHT, Mode.ON)
ENDED = Series(Signal.ENDED, Mode.ON)


def a_history(*looks: tuple[float, Samples]) -> CounterHistory:
    history = CounterHistory()
    for at, samples in looks:
        history.add(at, samples)
    return history


def rates(*looks: tuple[float, Samples]) -> dict[Series, float]:
    found = a_history(*looks).rates(looks[-1][0])
    assert found is not None
    return found


def test_a_counter_gives_its_growth_a_second() -> None:
    assert rates((0, {ARRIVALS: 100}), (20, {ARRIVALS: 110}))[ARRIVALS] == 0.5


def test_a_gauge_is_what_it_was_at_the_last_look() -> None:
    assert rates((0, {IN_FLIGHT: 9}), (20, {IN_FLIGHT: 3}))[IN_FLIGHT] == 3


def test_what_was_just_looked_at_is_fresh() -> None:
    assert rates((0, {}), (20, {}))[Series(Signal.AGE)] == 0


def test_a_counter_that_appears_between_looks_began_at_zero() -> None:
    assert rates((0, {}), (20, {ARRIVALS: 10}))[ARRIVALS] == 0.5


def test_a_counter_that_stands_still_has_a_rate_of_zero() -> None:
    """The empty buckets of a histogram say where the others begin."""
    assert rates((0, {ARRIVALS: 100}), (20, {ARRIVALS: 100})).get(ARRIVALS) == 0.0


def test_a_counter_that_began_again_has_no_negative_rate() -> None:
    assert rates((0, {ARRIVALS: 1_000}), (10, {ARRIVALS: 1_010}), (20, {ARRIVALS: 10}))[ARRIVALS] == 1.0


@pytest.mark.parametrize("span", [0.0, MIN_SPAN_SECONDS - 0.1])
def test_looks_too_close_together_give_no_rate(span: float) -> None:
    assert a_history((0, {}), (span, {ARRIVALS: 10})).rates(span) is None


def test_before_the_first_look_there_is_nothing() -> None:
    assert CounterHistory().rates(0) is None


def test_load_is_that_of_the_last_minute() -> None:
    quiet_then_busy = [(at, {ARRIVALS: max(0.0, at - 540)}) for at in range(0, 601, 5)]
    assert rates(*quiet_then_busy)[ARRIVALS] == 1.0


def test_habits_are_those_of_the_last_half_hour() -> None:
    busy_then_quiet = [(at, {ENDED: min(at, 900.0)}) for at in range(0, 1_801, 60)]
    assert rates(*busy_then_quiet)[ENDED] == 0.5


def test_after_a_pause_longer_than_a_minute_load_is_measured_anew() -> None:
    history = a_history((0, {ARRIVALS: 0}), (20, {ARRIVALS: 20}), (300, {ARRIVALS: 20_000}))
    assert history.rates(300) is None


def test_hours_of_looks_take_no_more_room_than_a_few() -> None:
    history = a_history(*((float(at), {ARRIVALS: at}) for at in range(0, 7_200, 5)))
    assert sum(len(looks) for looks in history._looks.values()) <= 2 * 7


@given(
    steps=st.lists(st.tuples(st.floats(5, 30), st.integers(0, 100)), min_size=4, max_size=100),
    restarts=st.sets(st.integers(1, 99)),
)
def test_rates_are_never_more_than_what_was_counted(steps: list[tuple[float, int]], restarts: set[int]) -> None:
    """However often the replica's container starts anew."""
    history, value = CounterHistory(), 0
    times = list(accumulate(seconds for seconds, _ in steps))
    for number, (at, (_, counted)) in enumerate(zip(times, steps, strict=True)):
        value = counted if number in restarts else value + counted
        history.add(at, {ARRIVALS: value})
    found = history.rates(times[-1])
    inside = [counted for at, (_, counted) in zip(times, steps, strict=True) if times[-1] - at <= Window.SHORT.value]
    if found is not None:
        assert 0 <= found.get(ARRIVALS, 0.0) * MIN_SPAN_SECONDS <= sum(inside) * (1 + 1e-9)
