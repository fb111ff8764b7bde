"""What the operator's metrics tell of services."""

from __future__ import annotations

from datetime import UTC, datetime

from kat_operator.api import ConditionType
from kat_operator.conditions import ConditionStatus
from kat_operator.kinds import Key
from kat_operator.metrics import Metrics
from kat_operator.status import Condition

KAT, OTHER = Key("llm", "kat"), Key("llm", "other")


def full(status: ConditionStatus) -> list[Condition]:
    """The pools of a service are full, or are not."""
    condition = Condition(
        type=ConditionType.CAPACITY_LIMITED,
        status=status,
        reason="PoolsFull",
        last_transition_time=datetime(2026, 11, 25, tzinfo=UTC),
    )
    return [condition]


def services(metrics: Metrics) -> set[str]:
    """Names of the services that any series tells of."""
    return {
        sample.labels["service"]
        for family in metrics.registry.collect()
        for sample in family.samples
        if "service" in sample.labels
    }


def by_status(metrics: Metrics, service: Key) -> dict[str, float | None]:
    labels = {"namespace": service.namespace, "service": service.name, "condition": "CapacityLimited"}
    return {
        status: metrics.registry.get_sample_value("kat_operator_condition", {**labels, "status": status})
        for status in ("True", "False", "Unknown")
    }


def test_a_condition_is_1_for_the_status_that_it_has() -> None:
    metrics = Metrics()
    metrics.told(KAT, full("True"))
    assert by_status(metrics, KAT) == {"True": 1, "False": 0, "Unknown": 0}


def test_a_condition_that_changes_has_one_status_still() -> None:
    metrics = Metrics()
    metrics.told(KAT, full("True"))
    metrics.told(KAT, full("False"))
    assert by_status(metrics, KAT) == {"True": 0, "False": 1, "Unknown": 0}


def test_a_service_that_is_gone_takes_its_series_along_and_no_other_service_s() -> None:
    metrics = Metrics()
    for service in (KAT, OTHER):
        metrics.told(service, full("True"))
        metrics.decided(service, replicas=2, ready=1, reason="Steady")
    metrics.forget(KAT)
    assert services(metrics) == {"other"}


def test_a_service_of_which_only_conditions_were_told_can_go_too() -> None:
    metrics = Metrics()
    metrics.told(KAT, full("True"))
    metrics.forget(KAT)
    assert services(metrics) == set()


def test_who_no_longer_leads_tells_of_no_service() -> None:
    metrics = Metrics()
    metrics.told(KAT, full("True"))
    metrics.decided(KAT, replicas=2, ready=1, reason="Steady")
    metrics.forget_all()
    assert services(metrics) == set()
