"""What an autoscaler may see, and a run of its decisions over time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from kat.usage_event import Mode
from kat_operator.api import AutoscalingSpec, ReplicasSpec
from kat_operator.autoscaler.observation import Decision, ModeSignals, Observation, ReplicaSignals, Signals
from kat_operator.autoscaler.policy import PolicyState, decide

AUTOSCALING = AutoscalingSpec(requests_per_replica=40, target_utilization=0.75)
"""30 requests at once are what a replica is sized for."""
SLOTS = 30.0

THINK_ON_SECONDS, THINK_OFF_SECONDS = 20.0, 2.0


def some_signals(
    *,
    in_flight: float = 0.0,
    queued: float = 0.0,
    per_second: float = 0.0,
    think_on: float = 0.0,
    kv_cache: float = 0.0,
    replicas: int = 1,
    rejected: float = 0.0,
    first_answer_on: float | None = None,
    first_answer_off: float | None = None,
) -> Signals:
    """A load over all replicas, spread evenly. A request that thinks runs 20 s, one that does not 2 s."""
    return Signals(
        modes={
            Mode.ON: ModeSignals(
                arrivals_per_second=per_second * think_on,
                in_flight=in_flight * think_on,
                tokens_per_request=THINK_ON_SECONDS / 0.02,
                seconds_per_request=THINK_ON_SECONDS,
                time_to_first_answer_token=first_answer_on,
            ),
            Mode.OFF: ModeSignals(
                arrivals_per_second=per_second * (1 - think_on),
                in_flight=in_flight * (1 - think_on),
                tokens_per_request=THINK_OFF_SECONDS / 0.02,
                seconds_per_request=THINK_OFF_SECONDS,
                time_to_first_answer_token=first_answer_off,
            ),
        },
        replicas=tuple(
            ReplicaSignals(f"pod-{number}", in_flight / replicas, queued / replicas, kv_cache)
            for number in range(replicas)
        ),
        seconds_per_token=0.02,
        rejected_per_second=rejected,
    )


def an_observation(signals: Signals | None = None, *, at: float = 0.0, ready: int = 1, **seen: Any) -> Observation:
    """One moment; there is room for a hundred replicas."""
    observation = Observation(at=at, signals=signals, ready=ready, starting=0, ceiling=100, startup_seconds=200.0)
    return replace(observation, **seen)


class Autoscaler:
    """Decides every five seconds, and gets at once what it asks for unless replicas take their time to start."""

    def __init__(
        self,
        autoscaling: AutoscalingSpec = AUTOSCALING,
        *,
        min_replicas: int = 1,
        max_replicas: int = 100,
        ready: int = 1,
    ) -> None:
        self.autoscaling = autoscaling
        self.bounds = ReplicasSpec(min=min_replicas, max=max_replicas)
        self.state = PolicyState()
        self.at = 0.0
        self.ready = ready
        self.asked: list[int] = []

    def sees(self, signals: Signals | None, **seen: Any) -> Decision:
        """One decision, which the fleet follows at once."""
        observation = an_observation(signals, at=self.at, ready=self.ready, **seen)
        decision, self.state = decide(self.autoscaling, self.bounds, self.state, observation)
        self.at += self.autoscaling.interval_seconds
        self.ready = decision.replicas
        self.asked.append(decision.replicas)
        return decision

    def sees_for(self, seconds: float, signals: Signals | None, **seen: Any) -> Decision:
        """As many decisions as fit; the last one."""
        return self.sees_all([signals] * round(seconds / self.autoscaling.interval_seconds), **seen)

    def sees_all(self, signals: Iterable[Signals | None], **seen: Any) -> Decision:
        decision = None
        for each in signals:
            decision = self.sees(each, **seen)
        assert decision is not None, "nothing was to be seen"
        return decision
