"""Signals of a service, from what its replicas say."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kat.usage_event import Mode
from kat_operator import reasons
from kat_operator.autoscaler.series import (
    Reading,
    Reason,
    Samples,
    Series,
    Signal,
    quantile,
    reading_of,
    signals_of,
)

ON_ARRIVALS = Series(Signal.ARRIVALS, Mode.ON)


def a_replica(*, age: float = 1.0, in_flight: float = 0.0, arrivals: float = 0.0) -> Samples:
    return {Series(Signal.AGE): age, Series(Signal.IN_FLIGHT, Mode.ON): in_flight, ON_ARRIVALS: arrivals}


def reading(samples: dict[str, Samples], *ready: str, known_for: float = 300.0) -> Reading:
    return reading_of(samples, dict.fromkeys(ready, known_for), stale_after_seconds=30, grace_seconds=45)


def test_replicas_add_up_by_mode() -> None:
    signals = signals_of(
        {
            "a": {ON_ARRIVALS: 0.5, Series(Signal.ARRIVALS, Mode.OFF): 2.0},
            "b": {ON_ARRIVALS: 1.0, Series(Signal.REFUSED): 0.25},
        }
    )
    assert {mode: signals.modes[mode].arrivals_per_second for mode in Mode} == {
        Mode.ON: 1.5,
        Mode.OFF: 2.0,
        Mode.UNDECIDED: 0.0,
    }
    assert signals.rejected_per_second == 0.25


def test_the_share_that_thinks_is_of_requests_whose_mode_is_known() -> None:
    signals = signals_of({"a": {ON_ARRIVALS: 1.0, Series(Signal.ARRIVALS, Mode.OFF): 3.0}})
    assert signals.think_on_share == 0.25


def test_requests_that_wait_for_their_mode_are_in_flight() -> None:
    signals = signals_of({"a": {Series(Signal.IN_FLIGHT, Mode.UNDECIDED): 3.0}})
    assert (signals.in_flight, signals.modes[Mode.UNDECIDED].in_flight) == (3.0, 3.0)


def test_means_weigh_each_request_the_same_whichever_replica_it_ran_on() -> None:
    signals = signals_of(
        {
            "a": {Series(Signal.ENDED, Mode.ON): 3.0, Series(Signal.TOKENS, Mode.ON): 300.0},
            "b": {
                Series(Signal.ENDED, Mode.ON): 1.0,
                Series(Signal.TOKENS, Mode.ON): 900.0,
                Series(Signal.SECONDS, Mode.ON): 80.0,
            },
        }
    )
    assert (signals.modes[Mode.ON].tokens_per_request, signals.modes[Mode.ON].seconds_per_request) == (300.0, 20.0)


def test_what_no_request_has_shown_is_not_known() -> None:
    signals = signals_of({"a": {}})
    off = signals.modes[Mode.OFF]
    assert (off.tokens_per_request, off.seconds_per_request, off.time_to_first_answer_token) == (None, None, None)
    assert (signals.seconds_per_token, signals.think_on_share) == (None, None)


def test_the_time_between_tokens_is_the_mean_over_all_replicas() -> None:
    signals = signals_of(
        {
            "a": {Series(Signal.GAPS): 90.0, Series(Signal.GAP_SECONDS): 1.8},
            "b": {Series(Signal.GAPS): 10.0, Series(Signal.GAP_SECONDS): 1.2},
        }
    )
    assert signals.seconds_per_token == pytest.approx(0.03)


def test_the_latency_is_of_all_replicas_together() -> None:
    fast = {Series(Signal.FIRST_ANSWERS, Mode.OFF, bound): 90.0 for bound in (1.0, 2.0, inf)}
    slow = {Series(Signal.FIRST_ANSWERS, Mode.OFF, bound): count for bound, count in ((1.0, 0), (2.0, 10), (inf, 10))}
    signals = signals_of({"a": fast, "b": slow})
    assert signals.modes[Mode.OFF].time_to_first_answer_token == pytest.approx(1.5)


def test_each_replica_is_told_by_its_own_account() -> None:
    signals = signals_of(
        {
            "b": {Series(Signal.QUEUED): 4.0, Series(Signal.KV_CACHE): 0.5},
            "a": {Series(Signal.IN_FLIGHT, Mode.ON): 2.0, Series(Signal.IN_FLIGHT, Mode.UNDECIDED): 1.0},
        }
    )
    assert [
        (replica.pod, replica.in_flight, replica.queued, replica.kv_cache_usage) for replica in signals.replicas
    ] == [
        ("a", 3.0, 0.0, 0.0),
        ("b", 0.0, 4.0, 0.5),
    ]


def test_a_pod_that_is_not_ready_any_more_bears_no_load() -> None:
    found = reading({"a": a_replica(in_flight=2), "gone": a_replica(in_flight=50)}, "a")
    assert found.signals is not None
    assert found.signals.in_flight == 2


def test_without_a_ready_replica_there_is_nothing_to_measure() -> None:
    assert (reading({}).signals, reading({}).reason) == (None, Reason.NO_REPLICAS)


def test_replicas_that_nobody_has_metrics_of_are_not_taken_to_be_idle() -> None:
    found = reading({}, "a", "b", known_for=1)
    assert (found.signals, found.reason) == (None, Reason.MISSING)


@pytest.mark.parametrize(("age", "reason"), [(30.0, Reason.FOUND), (30.1, Reason.STALE)])
def test_old_metrics_tell_nothing(age: float, reason: Reason) -> None:
    assert reading({"a": a_replica(age=age)}, "a").reason is reason


def test_metrics_without_an_age_tell_nothing() -> None:
    assert reading({"a": {ON_ARRIVALS: 1.0}}, "a").reason is Reason.STALE


def test_a_replica_that_has_just_turned_ready_counts_as_idle() -> None:
    found = reading_of(
        {"a": a_replica(in_flight=8)}, {"a": 300.0, "new": 5.0}, stale_after_seconds=30, grace_seconds=45
    )
    assert found.signals is not None
    assert found.signals.in_flight == 8


def test_a_replica_that_cannot_be_measured_is_taken_to_be_like_the_others() -> None:
    """It may be too busy to be scraped: that must not hold up its own relief."""
    found = reading({"a": a_replica(in_flight=8), "b": a_replica(in_flight=4), "c": a_replica(age=99)}, "a", "b", "c")
    assert found.signals is not None
    assert found.signals.in_flight == 18
    assert [replica.in_flight for replica in found.signals.replicas] == [8, 4, 6]
    assert "c taken to be like them" in found.message


@pytest.mark.parametrize(
    ("lost", "reason"),
    [({}, Reason.MISSING), ({"b": a_replica(age=99)}, Reason.STALE)],
    ids=["missing", "stale"],
)
def test_half_of_the_replicas_do_not_speak_for_the_other_half(lost: dict[str, Samples], reason: Reason) -> None:
    found = reading({"a": a_replica(), **lost}, "a", "b")
    assert (found.signals, found.reason) == (None, reason)


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_is_one_of_the_condition_and_explained(reason: Reason) -> None:
    assert reasons.EXPLANATIONS[reasons.Reason(reason.value)]


def test_many_lost_replicas_are_named_in_one_line() -> None:
    pods = [f"pod-{number}" for number in range(9)]
    assert reading({}, *pods).message == "no metrics of pod-0, pod-1, pod-2 and 6 more"


@pytest.mark.parametrize(
    ("q", "buckets", "expected"),
    [
        (0.95, {}, None),
        (0.95, {inf: 5}, None),
        (0.95, {1.0: 5, 2.0: 5}, None),
        (0.95, {1.0: 0, inf: 0}, None),
        (0.5, {1.0: 10, inf: 10}, 0.5),
        (0.5, {1.0: 0, 2.0: 10, inf: 10}, 1.5),
        (0.95, {1.0: 0, 2.0: 0, inf: 10}, 2.0),
        (0.5, {1.0: 6, 2.0: 5, 4.0: 12, inf: 12}, 1.0),
        (0.0, {1.0: 0, 2.0: 4, inf: 4}, 1.0),
    ],
    ids=[
        "no bucket",
        "one bucket",
        "no infinity",
        "nothing observed",
        "first bucket",
        "inner bucket",
        "last bucket",
        "a bucket ahead of a larger one",
        "minimum",
    ],
)
def test_a_quantile_is_what_prometheus_makes_of_the_buckets(
    q: float, buckets: dict[float, float], expected: float | None
) -> None:
    assert quantile(q, buckets) == expected


@given(
    counts=st.lists(st.integers(0, 1_000), min_size=3, max_size=3).filter(any),
    q=st.floats(0, 1),
    r=st.floats(0, 1),
)
def test_a_higher_quantile_is_no_smaller(counts: list[int], q: float, r: float) -> None:
    buckets = {1.0: counts[0], 10.0: counts[0] + counts[1], inf: sum(counts)}
    lower, higher = (quantile(value, buckets) for value in sorted((q, r)))
    assert lower is not None
    assert higher is not None
    assert lower <= higher <= 10.0


@given(st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 100), min_size=1))
def test_the_order_of_replicas_changes_nothing(arrivals: dict[str, float]) -> None:
    samples = {pod: {ON_ARRIVALS: value} for pod, value in arrivals.items()}
    turned = dict(reversed(samples.items()))
    assert signals_of(samples).replicas == signals_of(turned).replicas
    assert signals_of(samples).modes[Mode.ON].arrivals_per_second == pytest.approx(
        signals_of(turned).modes[Mode.ON].arrivals_per_second
    )
