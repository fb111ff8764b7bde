"""What a run is worth."""

from __future__ import annotations

import numpy as np
import pytest

from kat_operator.api import ObjectivesSpec
from kat_operator.simulation.replica import Request
from kat_operator.simulation.score import Score, attained_in_each, flaps, score
from kat_operator.simulation.trace import Trace

OBJECTIVES = ObjectivesSpec(time_to_first_answer_token_on_seconds=60, time_to_first_answer_token_off_seconds=3)
NONE = np.zeros(0, dtype=np.int64)


def answered(at: float, after: float, *, thinks: bool = False) -> Request:
    return Request(at, 1, 1, 1, thinks=thinks, first_token=at, first_answer=at + after, ended=at + after)


def refused(at: float) -> Request:
    return Request(at, 1, 1, 1, thinks=False, refused=True)


def scored(*requests: Request, replicas: tuple[tuple[float, int], ...] = ((0.0, 1),), warmup: float = 100.0) -> Score:
    trace = Trace("t", np.zeros(0), NONE, NONE, NONE, NONE.astype(bool), 3_700.0, warmup)
    return score(trace, requests, replicas, gpu_seconds=7_200.0, objectives=OBJECTIVES)


def test_each_mode_has_its_own_objective() -> None:
    found = scored(answered(200, 3), answered(200, 4), answered(200, 59, thinks=True), answered(200, 61, thinks=True))
    assert (found.attained, found.attained_on, found.attained_off) == (0.5, 0.5, 0.5)


def test_refused_and_unanswered_requests_are_missed() -> None:
    found = scored(answered(200, 1), refused(200), Request(200, 1, 1, 1, thinks=False))
    assert found.attained == pytest.approx(1 / 3)
    assert (found.refused, found.unfinished) == (1, 1)


def test_the_warm_up_is_not_scored() -> None:
    found = scored(refused(99), answered(100, 1), replicas=((0.0, 9), (50.0, 2), (150.0, 3)))
    assert (found.requests, found.attained) == (1, 1.0)
    assert (found.scale_events, found.most_replicas) == (1, 3)
    assert found.mean_replicas == pytest.approx((2 * 50 + 3 * 3_550) / 3_600)


def test_percentiles_are_of_what_was_answered() -> None:
    found = scored(*(answered(200, seconds) for seconds in range(1, 102)), refused(200))
    assert (found.p50, found.p99) == (51.0, 100.0)


def test_gpu_hours_are_hours() -> None:
    assert scored(answered(200, 1)).gpu_hours == 2.0


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ([], 0),
        ([(0, 1), (60, 1), (120, 1)], 0),
        ([(0, 1), (60, -1)], 1),
        ([(0, 1), (60, -1), (120, 1)], 2),
        ([(0, 1), (901, -1)], 0),
    ],
)
def test_a_flap_is_a_change_undone_within_a_quarter_of_an_hour(changes: list[tuple[float, int]], count: int) -> None:
    assert flaps(changes) == count


@pytest.mark.parametrize(
    ("window", "least"),
    [(float("inf"), 0.75), (3_600.0, 0.75), (900.0, 0.5), (1_500.0, 2 / 3)],
    ids=["all of the time", "its length", "a quarter of it", "the rest belongs to the last whole one"],
)
def test_a_goal_for_each_part_of_the_time_is_held_against_the_worst_part(window: float, least: float) -> None:
    trace = Trace("t", np.zeros(0), NONE, NONE, NONE, NONE.astype(bool), 3_700.0, 100.0)
    requests = [answered(50, 9), answered(150, 1), answered(2_000, 9), answered(2_500, 1), answered(3_600, 1)]
    assert attained_in_each(trace, requests, OBJECTIVES, window) == pytest.approx(least)


def test_a_time_without_requests_misses_nothing() -> None:
    trace = Trace("t", np.zeros(0), NONE, NONE, NONE, NONE.astype(bool), 3_700.0, 100.0)
    assert attained_in_each(trace, [], OBJECTIVES, 300.0) == 1.0
