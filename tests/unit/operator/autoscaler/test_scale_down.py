"""Which replicas go."""

from __future__ import annotations

import pytest

from kat_operator.autoscaler.observation import ReplicaSignals
from kat_operator.autoscaler.scale_down import Candidate, deletion_costs, victims

BUSY = ReplicaSignals("busy", in_flight=9, queued=4, kv_cache_usage=0.9)
QUEUE = ReplicaSignals("queue", in_flight=2, queued=8, kv_cache_usage=0.1)
CALM = ReplicaSignals("calm", in_flight=3, queued=0, kv_cache_usage=0.5)
FULL = ReplicaSignals("full", in_flight=3, queued=0, kv_cache_usage=0.8)
ALL = (BUSY, QUEUE, CALM, FULL)


def pods(*names: str, ready: bool = True, cost: int = 0) -> list[Candidate]:
    return [Candidate(name, ready, cost) for name in names]


@pytest.mark.parametrize(
    ("count", "going"),
    [
        (0, ()),
        (1, ("calm",)),
        (2, ("calm", "full")),
        (4, ("calm", "full", "queue", "busy")),
        (9, ("calm", "full", "queue", "busy")),
    ],
)
def test_the_least_busy_go_first_and_among_equals_the_emptier_cache(count: int, going: tuple[str, ...]) -> None:
    assert victims(pods("busy", "calm", "full", "queue"), ALL, count) == going


def test_what_is_not_ready_goes_before_what_serves() -> None:
    assert victims([*pods("calm"), *pods("starting", ready=False)], ALL, 1) == ("starting",)


def test_a_ready_pod_without_signals_goes_last() -> None:
    assert victims(pods("unknown", "busy"), ALL, 1) == ("busy",)


def test_those_that_go_get_a_negative_cost_and_the_others_none() -> None:
    assert deletion_costs(pods("busy", "calm", "full"), ALL, 2) == {"calm": -2, "full": -1}


def test_a_cost_from_before_is_taken_back() -> None:
    assert deletion_costs([*pods("busy", cost=-1), *pods("calm")], ALL, 1) == {"busy": 0, "calm": -1}


def test_costs_that_are_right_already_are_not_written_again() -> None:
    assert deletion_costs([*pods("busy"), *pods("calm", cost=-1)], ALL, 1) == {}
