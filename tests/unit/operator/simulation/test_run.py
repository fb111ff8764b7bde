"""Whole runs: what must hold whatever the law, and what must hold of ours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kat_operator.simulation.hardware import Hardware
from kat_operator.simulation.laws import Seen, Static
from kat_operator.simulation.run import (
    LAWS,
    Run,
    Setting,
    peak_replicas,
    simulate,
    simulate_law,
    static_fleet,
    with_room,
)
from kat_operator.simulation.score import attained_in_each
from kat_operator.simulation.synthetic import Shape, from_shape
from kat_operator.simulation.trace import Trace, read_trace

SETTING = Setting(max_replicas=12)


def steady(rate: float, seconds: float = 1_200.0, *, share: float = 0.3, seed: int = 0) -> Trace:
    shape = Shape(seconds, lambda t: np.full_like(t, rate), lambda t: np.full_like(t, share))
    return from_shape("steady", shape, warmup=300.0, seed=seed)


def climbing(seconds: float = 2_400.0, seed: int = 0) -> Trace:
    shape = Shape(seconds, lambda t: 1.0 + 7.0 * t / seconds, lambda t: np.full_like(t, 0.3))
    return from_shape("climbing", shape, warmup=300.0, seed=seed)


def run(trace: Trace, law: str, setting: Setting = SETTING) -> Run:
    return simulate(trace, LAWS[law](setting.bounds, setting.autoscaling), setting)


def constant(trace: Trace, replicas: int, setting: Setting = SETTING) -> Run:
    return simulate(trace, Static(replicas), setting, replicas=replicas)


class Erratic:
    """Asks for any number at any time."""

    name = "erratic"

    def __init__(self, sizes: list[int]) -> None:
        self._sizes = sizes

    def desired(self, seen: Seen) -> int:
        return self._sizes[int(seen.now // 60) % len(self._sizes)]


@given(sizes=st.lists(st.integers(0, 6), min_size=1, max_size=8), seed=st.integers(0, 100))
@settings(max_examples=15, deadline=None)
def test_every_request_is_served_or_refused_or_still_there(sizes: list[int], seed: int) -> None:
    trace = steady(6.0, 600.0, seed=seed)
    after = simulate(trace, Erratic(sizes), SETTING, replicas=2)
    served = sum(request.ended >= 0 for request in after.requests)
    refused = sum(request.refused for request in after.requests)
    assert len(trace) == served + refused + after.running


@given(sizes=st.lists(st.integers(1, 6), min_size=1, max_size=8))
@settings(max_examples=10, deadline=None)
def test_no_request_is_cut_however_replicas_come_and_go(sizes: list[int]) -> None:
    after = simulate(steady(2.0, 600.0), Erratic(sizes), SETTING, replicas=4)
    assert after.running == 0
    assert all(request.ended >= 0 for request in after.requests if not request.refused)


@pytest.mark.parametrize("law", LAWS)
def test_the_same_seed_gives_the_same_run(law: str) -> None:
    one, other = run(climbing(), law), run(climbing(), law)
    assert one.score == other.score
    assert one.replicas == other.replicas


def test_another_seed_gives_other_cold_starts() -> None:
    one, other = run(climbing(), "hpa"), run(climbing(), "hpa", replace(SETTING, seed=1))
    assert one.served != other.served


def test_more_replicas_answer_more_requests_in_time() -> None:
    attained = [constant(steady(8.0), replicas).score.attained for replicas in (1, 2, 3, 4, 6)]
    assert attained == sorted(attained)
    assert attained[0] < 0.5
    assert attained[-1] > 0.99


def test_the_static_fleet_is_the_smallest_fleet_that_attains_the_goal() -> None:
    trace = steady(8.0)
    found = static_fleet(trace, SETTING)
    size = found.score.most_replicas
    assert found.score.attained >= 0.99
    assert constant(trace, size - 1).score.attained < 0.99


def test_the_fleet_for_the_peak_attains_the_goal_in_each_part_of_the_time() -> None:
    # Ten busy seconds in a quiet quarter of an hour.
    shape = Shape(900.0, lambda t: np.where((t > 600) & (t < 610), 12.0, 1.0), lambda t: np.full_like(t, 0.3))
    trace = from_shape("peak", shape, warmup=60.0)
    on_the_whole = static_fleet(trace, SETTING, goal=0.92)
    in_each = static_fleet(trace, SETTING, goal=0.92, window=300.0)
    assert (on_the_whole.law, in_each.law) == ("static", "peak")
    assert in_each.score.most_replicas > on_the_whole.score.most_replicas
    smaller = constant(trace, in_each.score.most_replicas - 1)
    assert attained_in_each(trace, smaller.requests, SETTING.autoscaling.objectives, 300.0) < 0.92


def test_a_goal_out_of_reach_is_answered_with_the_largest_fleet() -> None:
    found = static_fleet(steady(0.2, 100.0), SETTING, goal=1.1)
    assert found.score.most_replicas == 1_000


def test_laws_may_ask_for_half_as_many_again_as_the_static_fleet() -> None:
    trace = steady(8.0)
    found = static_fleet(trace, SETTING)
    assert with_room(SETTING, found).bounds.max == int(1.5 * found.score.most_replicas + 0.5)


def test_a_constant_fleet_costs_its_replicas_for_the_scored_time() -> None:
    found = constant(steady(2.0), 3, replace(SETTING, hardware=Hardware(gpus=2))).score
    assert found.gpu_hours == pytest.approx(3 * 2 * 1_200 / 3_600)
    assert (found.scale_events, found.flaps_per_hour) == (0, 0.0)


def test_requests_that_are_refused_are_missed() -> None:
    found = constant(steady(40.0, 600.0), 1).score
    assert found.refused > 0
    assert found.attained <= 1 - found.refused / found.requests


def test_the_busiest_minute_gives_the_peak() -> None:
    hardware, trace = Hardware(), steady(8.0)
    assert peak_replicas(trace, hardware, SETTING.autoscaling) == pytest.approx(
        peak_replicas(steady(16.0), hardware, SETTING.autoscaling) / 2, abs=1
    )


@pytest.mark.parametrize("share", [0.1, 0.6])
def test_our_policy_changes_nothing_at_constant_load(share: float) -> None:
    shape = Shape(3 * 3_600.0, lambda t: np.full_like(t, 6.0), lambda t: np.full_like(t, share))
    trace = from_shape("constant", shape, warmup=2_400.0)
    score = run(trace, "ours").score
    assert score.scale_events <= score.hours
    assert score.flaps_per_hour <= 1 / score.hours


def test_our_policy_scales_out_when_more_requests_think_at_the_same_rate() -> None:
    shape = Shape(
        3_600.0, lambda t: np.full_like(t, 8.0), lambda t: np.where(t < 1_200, 0.1, 0.6), thinking_tokens=600.0
    )
    trace = from_shape("shift", shape, warmup=1_200.0)
    after = run(trace, "ours")
    shift = trace.warmup_seconds + 1_200
    before = [size for at, size in after.replicas if at < shift][-1]
    assert after.replicas[-1][1] > before
    # It asks before the longer answers have filled the fleet.
    asked = next(at for at, size in after.replicas if at >= shift and size > before)
    assert asked - shift < 120


def test_a_recorded_trace_runs_under_every_law(tmp_path: Path) -> None:
    path = tmp_path / "recorded.csv"
    rows = "\n".join(f"{number * 0.4},{200 + number % 700},{10 + number % 90}" for number in range(1_500))
    path.write_text(f"TIMESTAMP,ContextTokens,GeneratedTokens\n{rows}\n")
    trace = read_trace(path)
    scores = [static_fleet(trace, SETTING).score, *(simulate_law(trace, law, SETTING).score for law in LAWS)]
    assert {score.requests for score in scores} == {1_500}
    assert all(0 < score.gpu_hours <= 12 * score.hours for score in scores)
