"""Which replica gets a request, which one goes, and what they cost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kat_operator.simulation.fleet import Fleet
from kat_operator.simulation.hardware import Hardware
from kat_operator.simulation.replica import Request

HARDWARE = Hardware(startup_seconds=(100.0, 200.0))


def fleet_of(replicas: int, hardware: Hardware = HARDWARE, seed: int = 0) -> Fleet:
    return Fleet(hardware, replicas=replicas, rng=np.random.default_rng(seed))


def send(fleet: Fleet, at: float, *, answer: int = 100) -> Request:
    asked = Request(at, 100, 0, answer, thinks=False)
    fleet.advance(at)
    fleet.route(asked)
    return asked


def test_requests_go_to_the_replica_with_the_fewest() -> None:
    fleet = fleet_of(3)
    for _ in range(7):
        send(fleet, 1.0)
    assert sorted(replica.load for replica in fleet.ready) == [2, 2, 3]


def test_a_replica_serves_after_its_cold_start() -> None:
    fleet = fleet_of(1)
    fleet.scale(2, now=10.0)
    fleet.advance(109.0)
    assert (len(fleet.ready), len(fleet.starting)) == (1, 1)
    fleet.advance(210.0)
    assert (len(fleet.ready), len(fleet.starting)) == (2, 0)
    assert 100.0 <= fleet.startup_seconds[0] <= 200.0


def test_cold_starts_are_the_same_for_the_same_seed() -> None:
    fleets = [fleet_of(0, seed=seed) for seed in (3, 3, 4)]
    for fleet in fleets:
        fleet.scale(5, now=0.0)
        fleet.advance(500.0)
    assert fleets[0].startup_seconds == fleets[1].startup_seconds != fleets[2].startup_seconds


def test_without_a_ready_replica_requests_are_refused() -> None:
    fleet = fleet_of(0)
    assert send(fleet, 1.0).refused
    assert fleet.refused == 1


def test_what_does_not_serve_yet_goes_first() -> None:
    fleet = fleet_of(2)
    fleet.scale(4, now=0.0)
    fleet.scale(2, now=1.0)
    assert (len(fleet.ready), len(fleet.starting)) == (2, 0)


def test_the_least_busy_replica_goes_and_finishes_what_it_has() -> None:
    fleet = fleet_of(2)
    long, short = send(fleet, 0.0, answer=1_000), send(fleet, 0.0, answer=200)
    third = send(fleet, 0.0, answer=1_000)
    fleet.scale(1, now=0.1)
    assert fleet.in_hand() == 3
    fleet.advance(1_000.0)
    assert all(asked.ended > 0 for asked in (long, short, third))
    assert fleet.in_hand() == 0


def test_a_draining_replica_gets_no_more_requests() -> None:
    fleet = fleet_of(2)
    for _ in range(2):
        send(fleet, 0.0, answer=1_000)
    fleet.scale(1, now=0.1)
    for _ in range(4):
        send(fleet, 0.2)
    assert fleet.ready[0].load == 5


def test_replicas_cost_from_when_they_are_asked_for_until_their_last_request_has_ended() -> None:
    fleet = fleet_of(1, replace(HARDWARE, startup_seconds=(50.0, 50.0)))
    fleet.scale(2, now=100.0)
    fleet.advance(200.0)
    first, second = (send(fleet, 200.0, answer=500) for _ in range(2))
    fleet.scale(1, now=201.0)
    fleet.advance(1_000.0)
    # The first replica goes: it was there for its request's sake until that ended; the second from 100 s on.
    assert second.ended > first.ended - 1.0 > 200.0
    assert fleet.replica_seconds(0.0, 1_000.0) == pytest.approx(first.ended + 900.0)


def test_the_cost_of_a_part_of_the_time_is_a_part_of_the_cost() -> None:
    fleet = fleet_of(2)
    fleet.scale(3, now=50.0)
    assert fleet.replica_seconds(0.0, 100.0) == pytest.approx(250.0)
    assert fleet.replica_seconds(40.0, 60.0) == pytest.approx(50.0)


def test_the_number_of_requests_there_is_their_rate_times_their_time() -> None:
    """Little's law (J. D. C. Little, Operations Research 9, 1961), the number sampled, the time from each request."""
    fleet, rng = fleet_of(3), np.random.default_rng(5)
    at = np.sort(rng.uniform(0, 400.0, 3_000))
    sampled, sent, moment = [], [], 0.0
    for time in at.tolist():
        while moment < time:
            fleet.advance(moment)
            sampled.append(fleet.in_hand())
            moment += 0.25
        sent.append(send(fleet, time, answer=int(rng.integers(50, 400))))
    while fleet.in_hand():
        fleet.advance(moment)
        sampled.append(fleet.in_hand())
        moment += 0.25
    served = [asked for asked in sent if not asked.refused]
    rate = len(served) / moment
    seconds = np.mean([asked.ended - asked.at for asked in served])
    assert np.mean(sampled) == pytest.approx(rate * seconds, rel=0.01)
