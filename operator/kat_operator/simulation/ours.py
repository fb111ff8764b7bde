"""The operator's own policy as a law: the very code that decides in a cluster, on a simulated observation."""

from __future__ import annotations

from kat_operator.api import AutoscalingSpec, ReplicasSpec
from kat_operator.autoscaler.policy import PolicyState, decide
from kat_operator.simulation.laws import Seen


class OurPolicy:
    """`autoscaler.policy.decide`, once an interval."""

    name = "ours"

    def __init__(self, replicas: ReplicasSpec, autoscaling: AutoscalingSpec) -> None:
        self._replicas, self._autoscaling = replicas, autoscaling
        self._state = PolicyState()
        self._next = 0.0

    def desired(self, seen: Seen) -> int:
        if seen.now < self._next:
            return seen.observation.current
        self._next = seen.now + self._autoscaling.interval_seconds
        decision, self._state = decide(self._autoscaling, self._replicas, self._state, seen.observation)
        return decision.replicas
