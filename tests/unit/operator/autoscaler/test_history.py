"""What the past says of the next minutes."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kat_operator.autoscaler.history import BUCKET_SECONDS, LEAST_SECONDS, History, climb, record, since, surge


def recorded(
    slots_at: Callable[[float], float], seconds: float, *, every: float = 5.0, memory: float = 7_200.0
) -> History:
    history: History = ()
    for tick in range(round(seconds / every)):
        at = tick * every
        history = record(history, at, slots=slots_at(at), arriving=slots_at(at), ready=1, memory=memory)
    return history


def test_a_bucket_keeps_the_most_slots_and_the_fewest_replicas() -> None:
    history: History = ()
    for slots, ready in ((3, 2), (9, 4), (5, 3)):
        history = record(history, 20.0, slots=slots, arriving=0.0, ready=ready)
    assert [(bucket.start, bucket.slots, bucket.ready) for bucket in history] == [(15.0, 9, 2)]


@pytest.mark.parametrize(("memory", "kept"), [(7_200.0, 7_200.0), (0.0, LEAST_SECONDS)])
def test_as_much_is_remembered_as_asked_for_and_half_an_hour_at_least(memory: float, kept: float) -> None:
    history = recorded(lambda _at: 1.0, 8_000, memory=memory)
    assert len(history) == kept / BUCKET_SECONDS + 1


def test_what_began_before_is_left_out() -> None:
    history = recorded(lambda at: at, 120)
    assert [bucket.start for bucket in since(history, 75.0)] == [75.0, 90.0, 105.0]


def test_a_straight_climb_is_found_and_damped() -> None:
    history = recorded(lambda at: 10 + at / 10, 300)
    assert climb(history, 300.0) == pytest.approx(0.8 * 0.1)


@pytest.mark.parametrize("slope", [0.0, -0.1], ids=["level", "falling"])
def test_what_does_not_climb_has_no_climb(slope: float) -> None:
    assert climb(recorded(lambda at: 100 + slope * at, 600), 600.0) is None


def test_two_minutes_are_too_little_for_a_trend() -> None:
    assert climb(recorded(lambda at: 10 + at, 105), 105.0) is None


def test_noise_is_no_climb() -> None:
    # Rates over a minute: what looks like forty readings are ten.
    random = Random(1)
    levels = [100 + random.gauss(0, 10) for _ in range(11)]
    history = recorded(lambda at: levels[int(at // 60)], 600)
    assert climb(history, 600.0) is None


def test_a_surge_is_how_much_demand_rose_within_a_start_up_and_how_high_it_was() -> None:
    # From 20 to 80 slots in ten minutes, a third of which fits into a start-up of 200 s, and long at the top.
    history = recorded(lambda at: 20.0 + 60.0 * min(1.0, max(0.0, (at - 600) / 600)), 3_600)
    known = surge(history, 200.0)
    assert known is not None
    assert known.rise == pytest.approx(20.0, rel=0.1)
    assert known.level == pytest.approx(80.0, rel=0.05)


def test_a_rare_peak_is_not_reserved_for() -> None:
    history = recorded(lambda at: 500.0 if at == 600 else 100.0, 7_200)
    known = surge(history, 200.0)
    assert known is not None
    assert known.level == pytest.approx(100.0, rel=0.05)


def test_a_fall_is_no_rise() -> None:
    known = surge(recorded(lambda at: 100.0 - at / 60, 3_600), 200.0)
    assert known is not None
    assert known.rise == 0.0


def test_less_than_a_start_up_says_nothing_of_surges() -> None:
    assert surge(recorded(lambda _at: 10.0, 150), 200.0) is None


@given(st.lists(st.floats(0, 1_000), min_size=20, max_size=60))
def test_no_surge_goes_beyond_what_was_there(slots: list[float]) -> None:
    known = surge(recorded(lambda at: slots[int(at // 15)], 15.0 * len(slots), every=15.0), 200.0)
    assert known is not None
    assert 0 <= known.rise <= known.level <= max(slots)
