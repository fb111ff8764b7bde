"""Why conditions are what they are. Users write alerts on these: none is renamed without need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

from kat_operator.api import ConditionType


class Reason(StrEnum):
    """One CamelCase word each: the reason of a condition, and of the event when it becomes so."""

    REPLICAS_READY = "ReplicasReady"
    SCALED_TO_ZERO = "ScaledToZero"
    TOO_FEW_REPLICAS = "TooFewReplicas"
    INVALID_SPEC = "InvalidSpec"
    KSERVE_MISSING = "KServeMissing"
    RECONCILE_FAILED = "ReconcileFailed"
    SETTLED = "Settled"
    SCALING = "Scaling"
    SURGING = "Surging"
    NO_CAPACITY_TO_SURGE = "NoCapacityToSurge"
    REPLICA_STUCK = "ReplicaStuck"
    POOLS_FULL = "PoolsFull"
    CAPACITY_AVAILABLE = "CapacityAvailable"
    METRICS_FOUND = "MetricsFound"
    METRICS_FROM_PODS = "MetricsFromPods"
    METRICS_MISSING = "MetricsMissing"
    METRICS_STALE = "MetricsStale"
    PROMETHEUS_UNREACHABLE = "PrometheusUnreachable"
    NO_REPLICAS = "NoReplicas"
    NOT_OBSERVED = "NotObserved"


REASONS_OF: Final[Mapping[ConditionType, Sequence[Reason]]] = {
    ConditionType.READY: (
        Reason.REPLICAS_READY,
        Reason.SCALED_TO_ZERO,
        Reason.TOO_FEW_REPLICAS,
        Reason.INVALID_SPEC,
        Reason.KSERVE_MISSING,
        Reason.RECONCILE_FAILED,
    ),
    ConditionType.PROGRESSING: (
        Reason.SETTLED,
        Reason.SCALING,
        Reason.SURGING,
        Reason.NO_CAPACITY_TO_SURGE,
        Reason.REPLICA_STUCK,
        Reason.NOT_OBSERVED,
    ),
    ConditionType.CAPACITY_LIMITED: (Reason.CAPACITY_AVAILABLE, Reason.POOLS_FULL, Reason.NOT_OBSERVED),
    ConditionType.METRICS_AVAILABLE: (
        Reason.METRICS_FOUND,
        Reason.METRICS_FROM_PODS,
        Reason.METRICS_MISSING,
        Reason.METRICS_STALE,
        Reason.PROMETHEUS_UNREACHABLE,
        Reason.NO_REPLICAS,
        Reason.NOT_OBSERVED,
    ),
}

EXPLANATIONS: Final[Mapping[Reason, str]] = {
    Reason.REPLICAS_READY: "Enough replicas serve.",
    Reason.SCALED_TO_ZERO: "Idle, and replicas.min is 0: the next request starts a replica.",
    Reason.TOO_FEW_REPLICAS: "No replica serves, or fewer than replicas.min less disruption.maxUnavailable.",
    Reason.INVALID_SPEC: "The stored spec is not valid, as one of an older version may be. What runs is left alone.",
    Reason.KSERVE_MISSING: "The cluster has no InferenceService: KServe is not installed.",
    Reason.RECONCILE_FAILED: "The API server refused or failed; the message is its own. Tried again.",
    Reason.SETTLED: "Every replica that is asked for serves, and all have the spec's template.",
    Reason.SCALING: "Replicas start or end.",
    Reason.SURGING: "A new template rolls out: a replica of it comes before an old one goes.",
    Reason.NO_CAPACITY_TO_SURGE: "A new template rolls out where no node can hold one replica more: an old one goes "
    "before each new one comes.",
    Reason.REPLICA_STUCK: "A replica does not turn ready; the message is the pod's own.",
    Reason.POOLS_FULL: "More replicas are wanted than the pools' nodes can hold.",
    Reason.CAPACITY_AVAILABLE: "The pools' nodes can hold what is wanted.",
    Reason.METRICS_FOUND: "Prometheus answers with recent metrics.",
    Reason.METRICS_FROM_PODS: "Prometheus does not; the pods' own metrics take its place.",
    Reason.METRICS_MISSING: "Nothing has metrics of this service. Replicas are held.",
    Reason.METRICS_STALE: "The latest metrics are too old. Replicas are held.",
    Reason.PROMETHEUS_UNREACHABLE: "Prometheus does not answer, and neither do the pods. Replicas are held.",
    Reason.NO_REPLICAS: "There is no replica to have metrics.",
    Reason.NOT_OBSERVED: "Not looked at yet.",
}
"""What each means; docs/autothinkservice.md shows them."""

TROUBLE: Final = frozenset(
    {
        Reason.TOO_FEW_REPLICAS,
        Reason.REPLICA_STUCK,
        Reason.POOLS_FULL,
        Reason.METRICS_MISSING,
        Reason.METRICS_STALE,
        Reason.PROMETHEUS_UNREACHABLE,
        Reason.INVALID_SPEC,
        Reason.KSERVE_MISSING,
        Reason.RECONCILE_FAILED,
    }
)
"""Reasons whose events are warnings."""
