"""What a load asks for, in requests at once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kat.usage_event import Mode
from kat_operator.autoscaler import demand
from kat_operator.autoscaler.observation import ModeSignals, Signals
from tests.fakes.observations import some_signals


def test_arrivals_are_weighted_by_the_seconds_of_their_mode() -> None:
    shown = demand.measure(some_signals(per_second=10, think_on=0.6))
    assert shown.arriving == pytest.approx(6 * 20 + 4 * 2)
    assert shown.request_seconds == pytest.approx(0.6 * 20 + 0.4 * 2)


def test_refused_requests_and_a_growing_queue_are_demand_of_todays_mix() -> None:
    shown = demand.measure(some_signals(per_second=10, think_on=0.5, rejected=2), queue_growth=3)
    assert shown.placeless == pytest.approx((2 + 3) * 11)


def test_a_queue_that_shrinks_takes_nothing_off() -> None:
    assert demand.measure(some_signals(per_second=10), queue_growth=-3).placeless == 0


@pytest.mark.parametrize(
    ("shown", "busy"),
    [
        (some_signals(), False),
        (some_signals(in_flight=1), True),
        (some_signals(queued=1), True),
        (some_signals(per_second=0.01), True),
        (some_signals(rejected=0.01), True),
    ],
    ids=["idle", "running", "queued", "arriving", "refused"],
)
def test_any_request_is_a_load(shown: Signals, *, busy: bool) -> None:
    assert demand.measure(shown).busy is busy


def test_a_crowded_fleet_that_generates_slower_makes_requests_longer() -> None:
    slower = replace(some_signals(), seconds_per_token=0.04)
    assert demand.expected_seconds(Mode.ON, slower) == pytest.approx(40)


@pytest.mark.parametrize(
    ("of_mode", "per_token", "seconds"),
    [
        (ModeSignals(tokens_per_request=100, seconds_per_request=9), 0.02, 2.0),
        (ModeSignals(tokens_per_request=None, seconds_per_request=9), 0.02, 9.0),
        (ModeSignals(tokens_per_request=100, seconds_per_request=9), None, 9.0),
        (ModeSignals(tokens_per_request=100), None, 5.0),
        (ModeSignals(), 0.02, 40.0),
        (ModeSignals(), None, 100.0),
    ],
    ids=["both", "no tokens", "tokens not timed", "prior speed", "prior tokens", "nothing"],
)
def test_what_is_not_known_yet_is_stood_in_for(of_mode: ModeSignals, per_token: float | None, seconds: float) -> None:
    shown = Signals(modes={Mode.ON: of_mode}, replicas=(), seconds_per_token=per_token)
    assert demand.expected_seconds(Mode.ON, shown) == pytest.approx(seconds)


def test_before_any_request_the_training_mix_is_the_mix() -> None:
    assert demand.measure(Signals(modes={}, replicas=())).think_on_share == pytest.approx(0.348)
