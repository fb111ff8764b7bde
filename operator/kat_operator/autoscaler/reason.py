"""Why the autoscaler decides as it does, as a label and in words."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """Why the replicas are as many as they are: a metric label, and the reason of events and of the status."""

    IN_FLIGHT = "InFlightLoad"
    QUEUE = "QueuedRequests"
    LATENCY = "LatencyObjective"
    KV_CACHE = "KVCacheUsage"
    TREND = "ClimbingLoad"
    SURGE = "SurgeReserve"
    ACTIVATOR = "RequestAtZero"
    MINIMUM = "AtMinimum"
    MAXIMUM = "AtMaximum"
    CAPACITY = "CapacityLimited"
    METRICS_MISSING = "MetricsMissing"
    STARTING = "Starting"
    STEADY = "Steady"
    WINDOW = "ScaleDownWindow"
    SURPLUS = "Surplus"
    IDLE = "Idle"


SAYS: Final[Mapping[Reason, str]] = {
    Reason.IN_FLIGHT: "the load needs them",
    Reason.QUEUE: "requests wait for a place to run",
    Reason.LATENCY: "answers begin too late",
    Reason.KV_CACHE: "KV caches fill up",
    Reason.TREND: "the load climbs, and a replica takes its time to start",
    Reason.SURGE: "the load has surged before, faster than a replica starts",
    Reason.ACTIVATOR: "a request came while there was no replica",
    Reason.MINIMUM: "replicas.min",
    Reason.MAXIMUM: "replicas.max",
    Reason.CAPACITY: "the pools can schedule no more",
    Reason.METRICS_MISSING: "metrics are missing, so what runs is held",
    Reason.STARTING: "none serves yet",
    Reason.STEADY: "they carry the load",
    Reason.WINDOW: "the load would allow fewer, the scale-down window not yet",
    Reason.SURPLUS: "nothing within the scale-down window needed the one that goes",
    Reason.IDLE: "no request has come for a while",
}

REASON_OF_LAW: Final[Mapping[str, Reason]] = {
    "in_flight": Reason.IN_FLIGHT,
    "queue": Reason.QUEUE,
    "latency": Reason.LATENCY,
    "kv_cache": Reason.KV_CACHE,
    "trend": Reason.TREND,
    "surge": Reason.SURGE,
    "activator": Reason.ACTIVATOR,
}
