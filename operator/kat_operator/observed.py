"""Everything that is known of one service when it is looked at, and what it remembers from look to look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from statistics import median
from typing import Any

from kat_operator.autoscaler.policy import PolicyState
from kat_operator.autoscaler.series import Reading
from kat_operator.kinds import Key, Kind
from kat_operator.pod_view import PodView

Body = Mapping[str, Any]


@dataclass(frozen=True)
class Observed:
    """One service at one moment."""

    service: Body
    """The AutoThinkService."""
    now: datetime
    at: float
    """The same moment, in seconds of a clock that only goes forward."""
    owned: Mapping[tuple[Kind, str], Body]
    """What there is of the kinds that the operator makes, with the service's label; by kind and name."""
    deployments: Mapping[str, Body]
    """By name."""
    pods: Sequence[PodView]
    room: Mapping[str, int]
    """Replicas that would find a place beside those that have one, by pool."""
    missing: frozenset[Kind]
    """Kinds that are not installed."""
    reading: Reading
    wanted_by_activator: bool = False
    activator: Body | None = None
    """The EndpointSlice that there ought to be; None where a replica serves, or there is no activator."""

    @property
    def key(self) -> Key:
        metadata = self.service["metadata"]
        return Key(metadata["namespace"], metadata["name"])

    @cached_property
    def active(self) -> Mapping[str, Sequence[PodView]]:
        """Pods that are not on their way out, by pool."""
        by_pool: dict[str, list[PodView]] = {}
        for pod in self.pods:
            if not pod.terminating:
                by_pool.setdefault(pod.pool, []).append(pod)
        return by_pool

    @cached_property
    def ready(self) -> Mapping[str, int]:
        """Pods that serve, by pool."""
        return {pool: sum(pod.ready for pod in pods) for pool, pods in self.active.items()}

    @cached_property
    def terminating(self) -> Mapping[str, int]:
        """Pods on their way out that still hold a place on a node, by pool."""
        pools = [pod.pool for pod in self.pods if pod.terminating and pod.scheduled]
        return {pool: pools.count(pool) for pool in set(pools)}

    def ceiling(self, pool: str) -> int:
        """Replicas that the pool can have, those that run included."""
        return self.room.get(pool, 0) + sum(pod.scheduled for pod in self.active.get(pool, ()))

    @property
    def startup_seconds(self) -> float | None:
        """The middle one of the start-ups that these pods had."""
        measured = [pod.startup_seconds for pod in self.pods if pod.startup_seconds is not None]
        return median(measured) if measured else None


@dataclass(frozen=True, slots=True)
class Memory:
    """What one look hands to the next.

    A new one is safe, as after a restart: nothing is scaled down before a whole scale-down window has been seen, and
    what was asked for is read from the status.
    """

    policy: PolicyState = field(default_factory=PolicyState)
    faulty_since: Mapping[str, float] = field(default_factory=dict)
    """Since when pods have said that something is wrong, by name."""
    last_request: float | None = None
    """When a request was last seen."""
