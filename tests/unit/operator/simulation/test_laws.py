"""The published laws, by tables of their formulas."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from kat.usage_event import Mode
from kat_operator.api import AutoscalingSpec, ReplicasSpec
from kat_operator.autoscaler.observation import ModeSignals, Observation, ReplicaSignals, Signals
from kat_operator.simulation.laws import AibrixApa, HpaInFlight, KedaQueue, Law, LlmdSlo, Seen, average_value
from kat_operator.simulation.meters import Latency

BOUNDS = ReplicasSpec(min=1, max=50)
AUTOSCALING = AutoscalingSpec(requests_per_replica=32, target_utilization=0.75)  # so 24 requests a replica


def seen(
    at: float,
    *,
    ready: int,
    starting: int = 0,
    in_flight: float = 0.0,
    queued: float = 0.0,
    of_objective: float | None = None,
) -> Seen:
    signals = Signals(
        modes={Mode.ON: ModeSignals(in_flight=in_flight)},
        replicas=[ReplicaSignals("one", in_flight, queued, 0.0)],
    )
    observation = Observation(at=at, signals=signals, ready=ready, starting=starting, ceiling=50)
    return Seen(observation, Latency([] if of_objective is None else [([of_objective], [])]))


def follow(law: Law, until: float, look: Callable[[float, int], Seen], replicas: int) -> list[int]:
    """Replicas after each reading, five seconds apart, each decision obeyed at once."""
    sizes = []
    at = 0.0
    while at <= until:
        replicas = law.desired(look(at, replicas))
        sizes.append(replicas)
        at += 5.0
    return sizes


@pytest.mark.parametrize(
    ("metric", "current", "wanted"),
    [
        pytest.param(48, 2, 2, id="on target"),
        pytest.param(52, 2, 2, id="within ten per cent"),
        pytest.param(54, 2, 3, id="beyond ten per cent"),
        pytest.param(40, 2, 2, id="below, but two are still needed"),
        pytest.param(20, 2, 1, id="far below"),
        pytest.param(0, 2, 0, id="nothing"),
        pytest.param(240, 2, 10, id="far above"),
    ],
)
def test_an_average_value_is_divided_by_its_target(metric: float, current: int, wanted: int) -> None:
    assert average_value(metric, 24.0, current) == wanted


def test_keda_asks_for_a_replica_for_each_five_that_wait() -> None:
    assert KedaQueue(BOUNDS).desired(seen(0, ready=2, queued=21, in_flight=500)) == 5


def test_keda_is_blind_to_a_load_that_does_not_wait() -> None:
    sizes = follow(KedaQueue(BOUNDS), 600, lambda at, n: seen(at, ready=n, in_flight=30.0 * n), replicas=4)
    assert sizes[-1] == 1


def test_the_hpa_divides_what_is_in_flight_by_the_target() -> None:
    law = HpaInFlight(BOUNDS, AUTOSCALING)
    assert law.desired(seen(0, ready=3, in_flight=96)) == 4


def test_the_hpa_at_most_doubles_or_adds_four_in_fifteen_seconds() -> None:
    law = HpaInFlight(BOUNDS, AUTOSCALING)
    sizes = follow(law, 60, lambda at, n: seen(at, ready=n, in_flight=24.0 * 40), replicas=1)
    assert sizes[0::3] == [5, 10, 20, 40, 40]


def test_the_hpa_decides_every_fifteen_seconds() -> None:
    law = HpaInFlight(BOUNDS, AUTOSCALING)
    sizes = follow(law, 25, lambda at, n: seen(at, ready=n, in_flight=24.0 * 40), replicas=1)
    assert sizes == [5, 5, 5, 10, 10, 10]


def test_the_hpa_scales_down_to_the_largest_recommendation_of_five_minutes() -> None:
    law = HpaInFlight(BOUNDS, AUTOSCALING)

    def look(at: float, replicas: int) -> Seen:
        return seen(at, ready=replicas, in_flight=240 if at < 60 else 120 if at < 120 else 24)

    sizes = follow(law, 500, look, replicas=10)
    assert sizes[int(300 / 5)] == 10
    assert sizes[int(375 / 5)] == 5
    assert sizes[-1] == 1


@pytest.mark.parametrize(
    ("current", "ratio", "wanted"),
    [
        pytest.param(4, 1.0, 4, id="on target"),
        pytest.param(4, 1.1, 4, id="within the tolerance above"),
        pytest.param(4, 1.2, 5, id="above"),
        pytest.param(4, 5.0, 8, id="at most twice as many"),
        pytest.param(4, 0.9, 4, id="within the tolerance below"),
        pytest.param(4, 0.7, 3, id="below"),
        pytest.param(8, 0.1, 4, id="no fewer than half"),
        pytest.param(1, 0.0, 0, id="one and idle"),
    ],
)
def test_apa_follows_the_ratio_within_its_rates(current: int, ratio: float, wanted: int) -> None:
    assert AibrixApa.recommend(current, ratio) == wanted


def test_apa_waits_five_minutes_after_its_last_change_before_it_scales_down() -> None:
    law = AibrixApa(BOUNDS, AUTOSCALING)

    def look(at: float, replicas: int) -> Seen:
        return seen(at, ready=replicas, in_flight=24.0 * 8 if at < 10 else 0)

    sizes = follow(law, 700, look, replicas=4)
    assert sizes[0] == 8
    assert sizes[int(295 / 5)] == 8
    assert sizes[int(300 / 5)] == 4
    assert sizes[int(600 / 5)] == 2


@pytest.mark.parametrize(
    ("current", "ready", "saturation", "wanted"),
    [
        pytest.param(4, 4, 0.50, 4, id="within the band"),
        pytest.param(4, 4, 0.56, 5, id="just above the band"),
        pytest.param(4, 4, 1.10, 8, id="twice the upper threshold"),
        pytest.param(8, 4, 1.10, 8, id="those on their way are credited"),
        pytest.param(8, 0, 1.10, 16, id="no credit while none is ready"),
        pytest.param(4, 4, 0.39, 4, id="just below the band, less than a replica"),
        pytest.param(4, 4, 0.20, 2, id="half of the lower threshold"),
        pytest.param(8, 4, 0.20, 4, id="no credit on the way down"),
    ],
)
def test_llm_d_keeps_saturation_in_its_band(current: int, ready: int, saturation: float, wanted: int) -> None:
    assert LlmdSlo.recommend(current, ready, saturation) == wanted


def test_llm_d_acts_on_a_saturation_that_lasts_half_a_minute() -> None:
    sizes = follow(LlmdSlo(BOUNDS), 30, lambda at, n: seen(at, ready=n, of_objective=9.0), replicas=2)
    # Clamped at twice the objective it would be eight; four more a minute is the limit.
    assert sizes == [2, 2, 2, 2, 2, 2, 6]


def test_llm_d_does_not_act_on_a_single_slow_reading() -> None:
    spike = follow(
        LlmdSlo(BOUNDS), 120, lambda at, n: seen(at, ready=n, of_objective=0.9 if at == 60 else 0.5), replicas=2
    )
    assert set(spike) == {2}


def test_llm_d_gives_back_one_replica_in_two_minutes() -> None:
    law = LlmdSlo(BOUNDS)
    sizes = follow(law, 600, lambda at, n: seen(at, ready=n, of_objective=None if at else 0.5), replicas=10)
    fell = [number * 5 for number in range(1, len(sizes)) if sizes[number] < sizes[number - 1]]
    assert {later - earlier for earlier, later in itertools.pairwise(fell)} == {120}
    assert all(sizes[number - 1] - sizes[number] <= 1 for number in range(1, len(sizes)))


@pytest.mark.parametrize(
    "law",
    [KedaQueue(BOUNDS), HpaInFlight(BOUNDS, AUTOSCALING), AibrixApa(BOUNDS, AUTOSCALING), LlmdSlo(BOUNDS)],
    ids=lambda law: law.name,
)
def test_no_law_leaves_the_bounds(law: Law) -> None:
    def look(at: float, replicas: int) -> Seen:
        busy = at < 1_000
        return seen(
            at,
            ready=replicas,
            in_flight=1e6 if busy else 0,
            queued=1e6 if busy else 0,
            of_objective=9.0 if busy else None,
        )

    sizes = follow(law, 20_000, look, replicas=1)
    assert max(sizes) == BOUNDS.max
    assert sizes[-1] == BOUNDS.min
