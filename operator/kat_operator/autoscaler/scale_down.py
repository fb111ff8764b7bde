"""Which replicas go when a Deployment gets smaller. Pure.

Kubernetes takes pods that are not ready first, then those of the lowest `controller.kubernetes.io/pod-deletion-cost`.
So the least busy get a negative cost just before their Deployment is scaled; all others have none, which counts as 0.
Costs that followed the load at all times would say no more and write to the API server with every tick, which
Kubernetes advises against.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

from kat_operator.autoscaler.observation import ReplicaSignals


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pod of the Deployment that gets smaller, not on its way out already."""

    name: str
    ready: bool
    deletion_cost: int = 0
    """As annotated; 0 without."""


def victims(candidates: Sequence[Candidate], replicas: Sequence[ReplicaSignals], count: int) -> tuple[str, ...]:
    """The `count` pods that go: not ready before ready, then least busy first.

    A ready pod without signals may be the busiest of all, so it goes last. Among equals the emptier KV cache goes: it
    holds fewer prompts that would have to be read again.
    """
    signals = {replica.pod: replica for replica in replicas}
    return tuple(pod.name for pod in sorted(candidates, key=lambda pod: _order(pod, signals.get(pod.name))))[:count]


def deletion_costs(
    candidates: Sequence[Candidate], replicas: Sequence[ReplicaSignals], count: int
) -> Mapping[str, int]:
    """Annotations to change before `count` replicas go: costs by pod; 0 takes back an earlier one."""
    going = victims(candidates, replicas, count)
    wanted = {name: rank - len(going) for rank, name in enumerate(going)}
    return {pod.name: wanted.get(pod.name, 0) for pod in candidates if pod.deletion_cost != wanted.get(pod.name, 0)}


def _order(pod: Candidate, signals: ReplicaSignals | None) -> tuple[bool, float, float, str]:
    if signals is None:
        return pod.ready, inf, inf, pod.name
    return pod.ready, signals.in_flight + signals.queued, signals.kv_cache_usage, pod.name
