"""The bound: what could be attained by knowing every request beforehand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kat_operator.autoscaler.observation import Observation
from kat_operator.simulation.foresight import Foresight, cheapest, late_by_size, with_foresight
from kat_operator.simulation.laws import Seen
from kat_operator.simulation.meters import Latency
from kat_operator.simulation.run import Setting, static_fleet
from kat_operator.simulation.synthetic import Shape, from_shape

SIZES = np.array([1.0, 2.0])
STEP = 10.0
SETTING = Setting()
BURSTS = from_shape(
    "bursts",
    Shape(900.0, lambda t: np.where((t > 300) & (t < 360), 6.0, 0.2), lambda t: np.full_like(t, 0.3)),
    warmup=60.0,
)


def burst_at(*rows: int, count: int = 40) -> np.ndarray:
    """A hundred late answers in these steps with one replica, none with two."""
    lost = np.zeros((count, 2))
    lost[list(rows), 0] = 100.0
    return lost


def sizes_of(lost: np.ndarray, *, start_up: float = 100.0, price: float = 10.0) -> list[int]:
    return [int(SIZES[index]) for index in cheapest(lost, SIZES, step=STEP, start_up=start_up, price=price)]


def test_a_replica_is_there_only_while_it_is_needed() -> None:
    assert sizes_of(burst_at(20)) == [1] * 20 + [2] + [1] * 19


@pytest.mark.parametrize(("gap", "between"), [(8, 2), (15, 1)], ids=["shorter than a start-up", "longer"])
def test_a_replica_is_kept_over_a_gap_that_costs_less_than_a_start_up(gap: int, between: int) -> None:
    assert set(sizes_of(burst_at(10, 10 + gap))[11 : 10 + gap]) == {between}


def test_late_answers_are_borne_where_they_cost_less_than_a_replica() -> None:
    assert set(sizes_of(burst_at(20), price=0.5)) == {1}


@given(
    st.lists(st.lists(st.floats(0, 50), min_size=3, max_size=3), min_size=2, max_size=12),
    st.floats(0.01, 10.0),
    st.floats(1.5, 10.0),
)
@settings(max_examples=30, deadline=None)
def test_a_higher_price_leaves_no_more_answers_late(table: list[list[float]], price: float, factor: float) -> None:
    lost, sizes = np.array(table), np.array([1.0, 2.0, 4.0])
    late = [
        lost[np.arange(len(lost)), cheapest(lost, sizes, step=STEP, start_up=30.0, price=each)].sum()
        for each in (price, price * factor)
    ]
    assert late[1] <= late[0] + 1e-6


@pytest.mark.parametrize(
    ("at", "replicas"),
    [(0.0, 1), (95.0, 5), (195.0, 5), (215.0, 1)],
    ids=["long before", "a start-up before", "at it", "after"],
)
def test_a_replica_is_asked_for_a_start_up_before_it_is_needed(at: float, replicas: int) -> None:
    law = Foresight(np.array([1] * 20 + [5] + [1] * 20), step=10.0, start_up=100.0)
    seen = Seen(Observation(at=at, signals=None, ready=1, starting=0, ceiling=9), Latency([]))
    assert law.desired(seen) == replicas


def test_late_answers_are_counted_where_their_requests_came() -> None:
    lost = late_by_size(BURSTS, [1, 6], 60.0, SETTING)
    assert lost.shape == (16, 2)
    # The burst is the seventh minute, and a single replica has it behind it two minutes later.
    assert lost[6:9, 0].sum() > 0.9 * lost[:, 0].sum() > 50 > lost[:, 1].sum()


def test_foresight_attains_the_goal_with_fewer_gpu_hours_than_a_constant_fleet() -> None:
    static = static_fleet(BURSTS, SETTING).score
    found = with_foresight(BURSTS, SETTING, most=static.most_replicas)
    assert found.law == "foresight"
    assert found.score.attained >= 0.99
    assert found.score.gpu_hours < 0.9 * static.gpu_hours
