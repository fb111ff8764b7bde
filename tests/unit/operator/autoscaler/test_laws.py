"""What each law makes of its evidence."""

from __future__ import annotations

import pytest

from kat_operator.autoscaler import demand, laws
from kat_operator.autoscaler.history import History, Surge, record
from kat_operator.autoscaler.observation import Signals, Wish
from tests.fakes.observations import AUTOSCALING, SLOTS, an_observation, some_signals


def minute(*, slots: float, ready: int) -> History:
    """The minute before second 60."""
    history: History = ()
    for at in range(0, 60, 15):
        history = record(history, at, slots=slots, arriving=slots, ready=ready)
    return history


def late(*, slots: float, ready: int, shown: Signals) -> Wish | None:
    return laws.latency(shown, minute(slots=slots, ready=ready), 60.0, slots, AUTOSCALING)


@pytest.mark.parametrize(
    ("slots", "replicas"), [(0.0, 0.0), (15.0, 0.5), (30.0, 1.0), (75.0, 2.5)], ids=["none", "half", "one", "more"]
)
def test_in_flight_asks_for_the_demand_by_the_target_utilisation(slots: float, replicas: float) -> None:
    wish = laws.in_flight(slots, demand.measure(some_signals(in_flight=slots)), AUTOSCALING)
    assert wish.replicas == pytest.approx(replicas)


def test_a_queue_asks_for_what_runs_it_off_within_a_minute() -> None:
    shown = demand.measure(some_signals(queued=90, per_second=1, think_on=1.0))
    wish = laws.queue(60.0, shown, AUTOSCALING)
    assert wish is not None
    # 90 requests of 20 s are 1,800 slot seconds: 30 slots for a minute.
    assert wish.replicas * SLOTS == pytest.approx(60 + 30)


def test_an_empty_queue_says_nothing() -> None:
    assert laws.queue(10.0, demand.measure(some_signals(in_flight=10)), AUTOSCALING) is None


@pytest.mark.parametrize(
    ("seconds", "replicas"),
    [(3.0, 4.0), (3.3, 4.4), (300.0, 5.0), (1.5, 2.0)],
    ids=["at the objective", "a tenth late", "very late, but by a quarter at most", "early"],
)
def test_latency_asks_in_proportion_on_a_crowded_fleet(seconds: float, replicas: float) -> None:
    wish = late(slots=4 * SLOTS, ready=4, shown=some_signals(first_answer_off=seconds))
    assert wish is not None
    assert wish.replicas == pytest.approx(replicas)


def test_latency_follows_the_mode_that_is_further_from_its_objective() -> None:
    wish = late(slots=4 * SLOTS, ready=4, shown=some_signals(first_answer_off=2.4, first_answer_on=66.0))
    assert wish is not None
    assert wish.replicas == pytest.approx(4.4)
    assert "think-on" in wish.because


def test_latency_at_low_load_is_none_that_replicas_would_mend() -> None:
    assert late(slots=0.4 * 4 * SLOTS, ready=4, shown=some_signals(first_answer_on=300.0)) is None


def test_latency_of_a_smaller_fleet_is_held_against_that_fleet() -> None:
    history = record(minute(slots=4 * SLOTS, ready=2), 60.0, slots=4 * SLOTS, arriving=0.0, ready=4)
    wish = laws.latency(some_signals(first_answer_off=3.6), history, 61.0, 4 * SLOTS, AUTOSCALING)
    assert wish is not None
    assert wish.replicas == pytest.approx(2.4)


@pytest.mark.parametrize(("usage", "replicas"), [(0.8, 3.0), (0.4, 1.5), (1.0, 3.75)])
def test_kv_cache_asks_for_the_caches_by_their_target(usage: float, replicas: float) -> None:
    wish = laws.kv_cache(some_signals(kv_cache=usage, replicas=3), AUTOSCALING)
    assert wish is not None
    assert wish.replicas == pytest.approx(replicas)


def test_empty_caches_say_nothing() -> None:
    assert laws.kv_cache(some_signals(replicas=3), AUTOSCALING) is None


@pytest.mark.parametrize(
    ("horizon", "slots"), [(200.0, 80.0), (9_999.0, 120.0)], ids=["a start-up ahead", "twice at most"]
)
def test_a_trend_looks_ahead_by_the_time_that_a_replica_takes_to_start(horizon: float, slots: float) -> None:
    wish = laws.trend(60.0, 0.1, horizon, AUTOSCALING)
    assert wish is not None
    assert wish.replicas * SLOTS == pytest.approx(slots)


def test_without_a_climb_there_is_no_trend() -> None:
    assert laws.trend(60.0, None, 200.0, AUTOSCALING) is None


@pytest.mark.parametrize(
    ("slots", "replicas"), [(20.0, 2.0), (70.0, 2.5)], ids=["by what it rose", "up to where it was"]
)
def test_a_surge_of_the_past_is_kept_room_for(slots: float, replicas: float) -> None:
    wish = laws.surge(slots, Surge(rise=60.0, level=100.0), AUTOSCALING)
    assert wish is not None
    assert wish.replicas == pytest.approx(replicas)


def test_without_a_past_there_is_no_surge() -> None:
    assert laws.surge(60.0, None, AUTOSCALING) is None


def test_the_activator_wishes_for_one_replica_while_somebody_waits() -> None:
    wish = laws.activator(an_observation(wanted_by_activator=True))
    assert wish is not None
    assert wish.replicas == 1
    assert laws.activator(an_observation()) is None
