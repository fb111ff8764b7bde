"""The operator's Prometheus metrics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from kat_operator.conditions import ConditionStatus
from kat_operator.kinds import Key
from kat_operator.status import Condition

STATUSES: Final = get_args(ConditionStatus)
_SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)


class Metrics:
    """One instance an operator, on a registry of its own."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self._desired = Gauge(
            "kat_operator_desired_replicas",
            "Replicas that the service ought to have.",
            ["namespace", "service"],
            registry=self.registry,
        )
        self._ready = Gauge(
            "kat_operator_ready_replicas", "Replicas that serve.", ["namespace", "service"], registry=self.registry
        )
        self._conditions = Gauge(
            "kat_operator_condition",
            "1 for the status that a condition of the service has (True, False or Unknown), 0 for the others.",
            ["namespace", "service", "condition", "status"],
            registry=self.registry,
        )
        self._decisions = Counter(
            "kat_operator_decision", "Decisions on a number of replicas.", ["reason"], registry=self.registry
        )
        self._reconcile = Histogram(
            "kat_operator_reconcile_seconds",
            "One look at one service: from what is observed to the last write.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._failures = Counter(
            "kat_operator_reconcile_failures",
            "Looks at a service that failed and are tried again.",
            ["reason"],
            registry=self.registry,
        )
        self._writes = Counter("kat_operator_writes", "Objects written, by kind.", ["kind"], registry=self.registry)
        self._leader = Gauge(
            "kat_operator_leader", "1 while this operator holds the lease and acts.", registry=self.registry
        )

    def decided(self, service: Key, *, replicas: int, ready: int, reason: str) -> None:
        self._desired.labels(service.namespace, service.name).set(replicas)
        self._ready.labels(service.namespace, service.name).set(ready)
        self._decisions.labels(reason).inc()

    def told(self, service: Key, conditions: Iterable[Condition]) -> None:
        """What is said of a service: all its conditions."""
        for condition in conditions:
            for status in STATUSES:
                series = self._conditions.labels(service.namespace, service.name, condition.type, status)
                series.set(int(condition.status == status))

    def reconciled(self, seconds: float) -> None:
        self._reconcile.observe(seconds)

    def failed(self, reason: str) -> None:
        self._failures.labels(reason).inc()

    def wrote(self, kind: str) -> None:
        self._writes.labels(kind).inc()

    def leading(self, *, yes: bool) -> None:
        self._leader.set(int(yes))

    def forget(self, service: Key) -> None:
        """The service is gone, and its series with it."""
        for gauge in (self._desired, self._ready):
            gauge.remove(service.namespace, service.name)
        self._conditions.remove_by_labels({"namespace": service.namespace, "service": service.name})

    def forget_all(self) -> None:
        """Another operator decides by now."""
        for gauge in (self._desired, self._ready, self._conditions):
            gauge.clear()
