"""What metrics would show."""

from __future__ import annotations

import pytest

from kat.usage_event import Mode
from kat_operator.api import ObjectivesSpec
from kat_operator.simulation.hardware import Hardware
from kat_operator.simulation.meters import Meters
from kat_operator.simulation.replica import Replica, Request

OBJECTIVES = ObjectivesSpec(time_to_first_answer_token_on_seconds=60, time_to_first_answer_token_off_seconds=3)


def replica() -> Replica:
    return Replica("one", Hardware(), asked_at=0.0, ready_at=0.0)


def ended(at: float, *, first: float, seconds: float, tokens: int = 101, thinks: bool = False) -> Request:
    return Request(
        at, 10, tokens - 1, 1, thinks=thinks, first_token=at + first, first_answer=at + first, ended=at + seconds
    )


def happen(where: Replica, *requests: Request) -> None:
    where.started += requests
    where.answered += requests
    where.ended += requests


def test_arrivals_are_those_of_the_last_minute_by_mode() -> None:
    meters, one = Meters(OBJECTIVES), replica()
    meters.read(0.0, [one], refused=0)
    happen(one, *(ended(1, first=1, seconds=2) for _ in range(30)), ended(1, first=1, seconds=2, thinks=True))
    signals, _ = meters.read(5.0, [one], refused=0)
    for number in range(2, 12):
        signals, _ = meters.read(number * 5.0, [one], refused=0)
    assert signals.modes[Mode.OFF].arrivals_per_second == pytest.approx(30 / 55)
    assert signals.think_on_share == pytest.approx(1 / 31)
    signals, _ = meters.read(65.0, [one], refused=0)
    assert signals.modes[Mode.OFF].arrivals_per_second == 0.0


def test_the_length_of_requests_is_remembered_for_half_an_hour() -> None:
    meters, one = Meters(OBJECTIVES), replica()
    happen(one, ended(0, first=1, seconds=4, tokens=100), ended(0, first=1, seconds=6, tokens=200))
    meters.read(5.0, [one], refused=0)
    signals, _ = meters.read(1_800.0, [one], refused=0)
    off = signals.modes[Mode.OFF]
    assert (off.tokens_per_request, off.seconds_per_request) == (150.0, 5.0)
    signals, _ = meters.read(1_806.0, [one], refused=0)
    assert signals.modes[Mode.OFF].tokens_per_request is None


def test_the_time_per_token_is_that_after_the_first() -> None:
    meters, one = Meters(OBJECTIVES), replica()
    happen(one, ended(0, first=1, seconds=3, tokens=101))
    signals, _ = meters.read(5.0, [one], refused=0)
    assert signals.seconds_per_token == pytest.approx(0.02)


def test_a_percentile_is_as_fine_as_the_predictors_buckets() -> None:
    meters, one = Meters(OBJECTIVES), replica()
    happen(one, *(ended(0, first=1.5, seconds=3) for _ in range(100)))
    signals, _ = meters.read(5.0, [one], refused=0)
    # All lie between 1 and 2.5 s, where a histogram sees them spread evenly.
    assert signals.modes[Mode.OFF].time_to_first_answer_token == pytest.approx(1 + 1.5 * 0.95)


def test_latency_is_that_of_the_mode_which_is_worse_off_for_its_objective() -> None:
    meters, one = Meters(OBJECTIVES), replica()
    happen(one, ended(0, first=2, seconds=3), ended(0, first=15, seconds=20, thinks=True))
    _, latency = meters.read(5.0, [one], refused=0)
    assert latency.worst_of_objective(0.9) == pytest.approx(2 / 3)
    _, latency = meters.read(66.0, [one], refused=0)
    assert latency.worst_of_objective(0.9) is None


def test_gauges_are_those_of_the_ready_replicas() -> None:
    meters, one = Meters(OBJECTIVES), replica()
    for _ in range(40):
        one.accept(Request(0.0, 1_000, 10, 10, thinks=False))
    signals, latency = meters.read(5.0, [one], refused=0)
    assert (signals.in_flight, signals.queued) == (32, 8)
    assert signals.modes[Mode.UNDECIDED].in_flight == 32
    assert signals.replicas[0].kv_cache_usage == pytest.approx(32 * 1_020 / Hardware().kv_tokens)
    assert latency.worst_of_objective(0.9) is None


def test_refusals_are_counted_over_the_last_minute() -> None:
    meters = Meters(OBJECTIVES)
    for number in range(1, 12):
        meters.read(number * 5.0, [], refused=0)
    signals, _ = meters.read(60.0, [], refused=30)
    assert signals.rejected_per_second == pytest.approx(0.5)
