"""What is said of a service, and when it is news."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kat_operator.api import ConditionType
from kat_operator.autoscaler import series as readings
from kat_operator.autoscaler.observation import Decision, Wish
from kat_operator.conditions import MetricsState, PoolState, Report, failure, report
from kat_operator.reasons import EXPLANATIONS, REASONS_OF, Reason
from kat_operator.status import AutoThinkServiceStatus, Condition, differ_in_figures_alone
from kat_operator.upgrade import Rollout, RolloutReason, Strategy
from tests.fakes.service_manifests import spec

NOW = datetime(2026, 11, 25, 12, 0, 0, 250_000, tzinfo=UTC)
LATER = NOW + timedelta(minutes=3)
BLANK = AutoThinkServiceStatus()
SETTLED = Rollout({"a": Strategy.SURGE}, frozenset(), None, RolloutReason.UP_TO_DATE, "")
FOUND = MetricsState(Reason.METRICS_FOUND, "2 replicas", available=True)


def tick(
    previous: AutoThinkServiceStatus = BLANK,
    *,
    now: datetime = NOW,
    generation: int = 1,
    replicas: Mapping[str, int] | None = None,
    pools: list[PoolState] | None = None,
    decision: Decision | None = None,
    metrics: MetricsState = FOUND,
    rollout: Rollout = SETTLED,
    think_on_share: float | None = 0.341,
    startup_seconds: float | None = None,
    disruption: Mapping[str, Any] | None = None,
) -> Report:
    """One tick of a service of which two replicas serve, as wanted, unless said otherwise."""
    return report(
        previous,
        generation=generation,
        now=now,
        service="kat",
        spec=spec(replicas=replicas or {"min": 1, "max": 4}, disruption=disruption or {"maxUnavailable": 1}),
        pools=pools or [pool()],
        decision=decision or Decision(2, "Steady", "they carry the load"),
        metrics=metrics,
        rollout=rollout,
        think_on_share=think_on_share,
        startup_seconds=startup_seconds,
    )


def pool(replicas: int = 2, ready: int = 2, ceiling: int = 4, stuck: str | None = None) -> PoolState:
    return PoolState("a", replicas, ready, ceiling, template="0a1b2c", stuck=stuck)


def said(told: Report, type_: ConditionType) -> tuple[str, str]:
    condition = told.status.condition(type_)
    assert condition is not None
    return condition.status, condition.reason


def test_a_service_is_ready_when_enough_replicas_serve() -> None:
    assert said(tick(), ConditionType.READY) == ("True", "ReplicasReady")


def test_a_service_without_a_serving_replica_is_not_ready() -> None:
    told = tick(pools=[pool(ready=0)])
    assert said(told, ConditionType.READY) == ("False", "TooFewReplicas")


def test_as_few_replicas_as_maintenance_may_leave_are_enough() -> None:
    told = tick(replicas={"min": 3, "max": 4}, pools=[pool(3, 2)], disruption={"maxUnavailable": 1})
    assert said(told, ConditionType.READY) == ("True", "ReplicasReady")


def test_fewer_replicas_than_maintenance_may_leave_are_too_few() -> None:
    told = tick(replicas={"min": 3, "max": 4}, pools=[pool(3, 1)], disruption={"maxUnavailable": 1})
    assert said(told, ConditionType.READY) == ("False", "TooFewReplicas")


def test_an_idle_service_at_zero_is_as_it_should_be() -> None:
    told = tick(replicas={"min": 0, "max": 4}, pools=[pool(0, 0)], decision=Decision(0, "Idle", ""))
    assert said(told, ConditionType.READY) == ("True", "ScaledToZero")


def test_a_service_that_wakes_from_zero_is_not_ready_yet() -> None:
    told = tick(replicas={"min": 0, "max": 4}, pools=[pool(1, 0)], decision=Decision(1, "Activator", ""))
    assert said(told, ConditionType.READY) == ("False", "TooFewReplicas")


def test_replicas_that_start_are_progress() -> None:
    assert said(tick(pools=[pool(3, 2)]), ConditionType.PROGRESSING) == ("True", "Scaling")


def test_a_service_where_all_that_is_asked_for_serves_has_settled() -> None:
    assert said(tick(), ConditionType.PROGRESSING) == ("False", "Settled")


@pytest.mark.parametrize("reason", [RolloutReason.SURGING, RolloutReason.NO_CAPACITY_TO_SURGE])
def test_a_rollout_gives_its_own_reason(reason: RolloutReason) -> None:
    rolling = Rollout({"a": Strategy.SURGE}, frozenset(), "a", reason, "1 of 2")
    assert said(tick(rollout=rolling), ConditionType.PROGRESSING) == ("True", reason.value)


def test_a_replica_that_never_turns_ready_ends_the_progress_with_the_pods_own_words() -> None:
    told = tick(pools=[pool(3, 2, stuck="ImagePullBackOff: no such image")])
    condition = told.status.condition(ConditionType.PROGRESSING)
    assert condition is not None
    assert (condition.status, condition.reason) == ("False", "ReplicaStuck")
    assert condition.message == "a: ImagePullBackOff: no such image"


def test_a_ceiling_that_bounded_the_decision_limits_capacity() -> None:
    bounded = Decision(4, "Capacity", "", wishes=[Wish("in_flight", 6.2, "")], bounds=["ceiling"])
    told = tick(pools=[pool(4, 4, 4)], decision=bounded)
    assert said(told, ConditionType.CAPACITY_LIMITED) == ("True", "PoolsFull")


def test_room_that_is_left_does_not() -> None:
    assert said(tick(), ConditionType.CAPACITY_LIMITED) == ("False", "CapacityAvailable")


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (MetricsState(Reason.METRICS_FOUND, "", available=True), "True"),
        (MetricsState(Reason.METRICS_STALE, "", available=False), "False"),
        (MetricsState(Reason.NO_REPLICAS, "", available=None), "Unknown"),
    ],
)
def test_metrics_are_available_missing_or_beside_the_point(state: MetricsState, status: str) -> None:
    assert said(tick(metrics=state), ConditionType.METRICS_AVAILABLE) == (status, state.reason.value)


def test_every_condition_is_told_from_the_first_tick() -> None:
    assert [condition.type for condition in tick().status.conditions] == list(ConditionType)


def test_a_condition_keeps_its_time_while_its_status_holds() -> None:
    first = tick(metrics=FOUND).status
    from_pods = MetricsState(Reason.METRICS_FROM_PODS, "", available=True)
    condition = tick(first, now=LATER, metrics=from_pods).status.condition(ConditionType.METRICS_AVAILABLE)
    assert condition is not None
    assert condition.last_transition_time == NOW.replace(microsecond=0)


def test_a_condition_whose_status_changes_takes_the_time_of_the_change() -> None:
    condition = tick(tick().status, now=LATER, pools=[pool(ready=0)]).status.condition(ConditionType.READY)
    assert condition is not None
    assert condition.last_transition_time == LATER.replace(microsecond=0)


def test_each_condition_names_the_generation_that_it_was_told_of() -> None:
    status = tick(generation=7).status
    assert {status.observed_generation, *(condition.observed_generation for condition in status.conditions)} == {7}


def test_a_service_that_starts_well_makes_no_events() -> None:
    assert tick().transitions == ()


def test_trouble_is_news_from_the_first_tick() -> None:
    told = tick(pools=[pool(ready=0)])
    assert [(news.warning, news.reason) for news in told.transitions] == [(True, "TooFewReplicas")]


def test_what_stays_as_it_was_is_no_news() -> None:
    down = tick(pools=[pool(ready=0)])
    assert tick(down.status, now=LATER, pools=[pool(ready=0)]).transitions == ()


def test_recovery_is_news_but_no_warning() -> None:
    down = tick(pools=[pool(ready=0)])
    news = tick(down.status, now=LATER).transitions
    assert (False, "ReplicasReady") in [(entry.warning, entry.reason) for entry in news]


@pytest.mark.parametrize(("replicas", "reason"), [(3, "ScaledUp"), (1, "ScaledDown")])
def test_a_change_of_size_is_news(replicas: int, reason: str) -> None:
    told = tick(tick().status, decision=Decision(replicas, "InFlight", "the load needs them"))
    assert reason in [news.reason for news in told.transitions]


def test_the_first_size_of_a_service_is_no_change() -> None:
    assert tick(decision=Decision(2, "Minimum", "")).transitions == ()


def test_a_decision_keeps_its_time_while_its_reason_holds() -> None:
    again = tick(tick().status, now=LATER, decision=Decision(2, "Steady", "other figures")).status.last_decision
    assert again is not None
    assert (again.time, again.message) == (NOW.replace(microsecond=0), "other figures")


def test_a_start_up_time_is_kept_until_another_is_measured() -> None:
    first = tick(startup_seconds=93.04).status
    assert tick(first).status.startup_seconds == 93.0


def test_a_share_that_is_not_known_any_more_is_not_told() -> None:
    assert tick(tick().status, think_on_share=None).status.think_on_share is None


def test_the_think_on_share_is_told_in_percent() -> None:
    assert tick(think_on_share=0.341).status.think_on_share == "34 %"


def test_an_invalid_spec_makes_the_service_unready_and_leaves_what_was_known() -> None:
    before = tick(generation=1).status
    told = failure(before, generation=2, now=LATER, reason=Reason.INVALID_SPEC, message="spec.pools: missing")
    assert said(told, ConditionType.READY) == ("False", "InvalidSpec")
    assert (told.status.observed_generation, told.status.ready_replicas) == (1, 2)
    assert said(told, ConditionType.PROGRESSING) == said(tick(), ConditionType.PROGRESSING)


def test_a_service_that_serves_stays_ready_while_only_the_operator_fails() -> None:
    told = failure(tick().status, generation=1, now=LATER, reason=Reason.RECONCILE_FAILED, message="503")
    assert said(told, ConditionType.READY) == ("True", "ReconcileFailed")


def test_a_service_that_never_served_is_not_ready_when_the_operator_fails() -> None:
    told = failure(BLANK, generation=1, now=NOW, reason=Reason.RECONCILE_FAILED, message="503")
    assert said(told, ConditionType.READY) == ("False", "ReconcileFailed")


def test_a_failure_tells_every_condition_even_the_unknown_ones() -> None:
    told = failure(BLANK, generation=1, now=NOW, reason=Reason.KSERVE_MISSING, message="")
    assert [(condition.type, condition.status) for condition in told.status.conditions] == [
        (ConditionType.READY, "False"),
        (ConditionType.PROGRESSING, "Unknown"),
        (ConditionType.CAPACITY_LIMITED, "Unknown"),
        (ConditionType.METRICS_AVAILABLE, "Unknown"),
    ]


def test_a_failure_is_a_warning_once() -> None:
    first = failure(BLANK, generation=1, now=NOW, reason=Reason.KSERVE_MISSING, message="none")
    again = failure(first.status, generation=1, now=LATER, reason=Reason.KSERVE_MISSING, message="none")
    assert [(news.warning, news.reason) for news in first.transitions] == [(True, "KServeMissing")]
    assert again.transitions == ()


def test_a_status_is_read_back_as_it_was_written() -> None:
    written = tick(decision=Decision(2, "Steady", "", wishes=[Wish("latency", 1.237, "p95 2 s")])).status
    assert AutoThinkServiceStatus.read({"status": written.to_json()}) == written


def test_a_status_that_cannot_be_read_counts_as_none() -> None:
    assert AutoThinkServiceStatus.read({"status": {"replicas": "many"}}) == BLANK


def test_times_are_written_in_whole_seconds_of_utc() -> None:
    assert tick().status.to_json()["lastDecision"]["time"] == "2026-11-25T12:00:00Z"


def test_figures_alone_are_not_worth_a_write() -> None:
    before = tick().status
    after = tick(before, now=LATER, think_on_share=0.5, decision=Decision(2, "Steady", "other figures")).status
    assert differ_in_figures_alone(before, after)


def test_another_reason_is_worth_a_write() -> None:
    before = tick().status
    assert not differ_in_figures_alone(before, tick(before, decision=Decision(2, "Window", "")).status)


def test_every_reason_belongs_to_a_condition() -> None:
    assert {reason for reasons in REASONS_OF.values() for reason in reasons} == set(Reason)


def test_what_readings_of_metrics_say_are_reasons_of_their_condition() -> None:
    told = {reason.value for reason in readings.Reason}
    assert told == {reason.value for reason in REASONS_OF[ConditionType.METRICS_AVAILABLE]} - {"NotObserved"}


def test_what_rollouts_say_are_reasons_of_their_condition() -> None:
    told = {reason.value for reason in RolloutReason} - {RolloutReason.UP_TO_DATE.value}
    assert told < {reason.value for reason in REASONS_OF[ConditionType.PROGRESSING]}


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_is_explained_and_one_camel_case_word(reason: Reason) -> None:
    assert EXPLANATIONS[reason].endswith(".")
    assert Condition(type=ConditionType.READY, status="True", reason=reason, last_transition_time=NOW).reason.isalpha()
