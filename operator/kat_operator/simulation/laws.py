"""The laws of published autoscalers, as their sources give them, with their published defaults.

Each sees the same metrics at the same age, once a scrape, and acts by its own clock. Where a system lets its user say
what a replica bears, it gets the figure that our own policy gets. `docs/autoscaling.md` sets out the formulas.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import ceil, floor
from typing import Final, Protocol

from kat_operator.api import AutoscalingSpec, ReplicasSpec
from kat_operator.autoscaler.observation import Observation
from kat_operator.simulation.meters import Latency

_HPA_SYNC: Final = 15.0
"""Seconds between two decisions of the HorizontalPodAutoscaler (--horizontal-pod-autoscaler-sync-period)."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a law may look at."""

    observation: Observation
    latency: Latency

    @property
    def now(self) -> float:
        return self.observation.at

    @property
    def in_flight(self) -> float:
        """Requests that run, on all ready replicas."""
        return self.observation.signals.in_flight if self.observation.signals else 0.0

    @property
    def queued(self) -> float:
        """Requests that wait, on all ready replicas."""
        return self.observation.signals.queued if self.observation.signals else 0.0


class Law(Protocol):
    """How many replicas to ask for. One object serves one simulation: it may remember."""

    name: str

    def desired(self, seen: Seen) -> int:
        """Replicas, within the service's bounds. Called once a scrape, with `seen.now` ascending."""


class Static:
    """So many replicas, whatever happens."""

    name = "static"

    def __init__(self, replicas: int) -> None:
        self._replicas = replicas

    def desired(self, seen: Seen) -> int:  # noqa: ARG002 - that is its point
        return self._replicas


@dataclass(frozen=True, slots=True)
class _Limit:
    """How fast replicas may come, or go: the larger of a share and a number of pods in a period (HPA `behavior`)."""

    share: float
    pods: int
    period: float


class _Hpa:
    """The HorizontalPodAutoscaler's way from a recommendation to a number of replicas.

    kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale: the smallest recommendation of the scale-up
    window, the largest of the scale-down window, limits on the speed of both, and the bounds.
    """

    def __init__(
        self,
        replicas: ReplicasSpec,
        *,
        up_window: float = 0.0,
        down_window: float = 300.0,
        up: _Limit = _Limit(1.0, 4, 15.0),
        down: _Limit = _Limit(1.0, 0, 15.0),
    ) -> None:
        self._replicas = replicas
        self._up_window, self._down_window = up_window, down_window
        self._up, self._down = up, down
        self._recommended: deque[tuple[float, int]] = deque()
        self._changes: deque[tuple[float, int]] = deque()
        self._next = 0.0

    def due(self, now: float) -> bool:
        """Whether it is time for a decision; true once a period."""
        if now < self._next:
            return False
        self._next = now + _HPA_SYNC
        return True

    def step(self, recommendation: int, current: int, now: float) -> int:
        """Replicas after one decision."""
        low, high = max(self._replicas.min, 1), self._replicas.max
        if not self._recommended:
            self._recommended.append((now, current))
        up_since, down_since = now - self._up_window, now - self._down_window
        least = min([recommendation, *(value for at, value in self._recommended if at > up_since)])
        most = max([recommendation, *(value for at, value in self._recommended if at > down_since)])
        self._recommended.append((now, recommendation))
        while self._recommended[0][0] <= min(up_since, down_since):
            self._recommended.popleft()
        wanted = least if current < least else min(current, most)
        if wanted > current:
            start = current - self._changed(now, self._up.period, 1)
            wanted = min(wanted, max(ceil(start * (1 + self._up.share)), start + self._up.pods, current))
        elif wanted < current:
            start = current - self._changed(now, self._down.period, -1)
            wanted = max(wanted, min(floor(start * (1 - self._down.share)), start - self._down.pods, current))
        wanted = min(max(wanted, low), high)
        if wanted != current:
            self._changes.append((now, wanted - current))
        return wanted

    def _changed(self, now: float, period: float, sign: int) -> int:
        """Replicas that came (or went, as a negative number) within the period."""
        while self._changes and self._changes[0][0] <= now - max(self._up.period, self._down.period):
            self._changes.popleft()
        return sum(change for at, change in self._changes if at > now - period and change * sign > 0)


def average_value(metric: float, target: float, current: int, tolerance: float = 0.1) -> int:
    """The HPA's recommendation for an external metric with an AverageValue target.

    ceil(metric / target), unless the metric is within the tolerance of what the current replicas are meant for.
    """
    if current and abs(metric / (target * current) - 1.0) <= tolerance:
        return current
    return ceil(metric / target)


class KedaQueue:
    """KEDA on waiting requests, as the vLLM production stack ships it.

    vllm-project/production-stack, helm/values.yaml: sum of `vllm:num_requests_waiting`, threshold 5, polled every 15 s;
    KEDA hands it to an HPA as an AverageValue (keda.sh/docs/concepts/scaling-deployments), whose defaults stand.
    """

    name = "keda"
    THRESHOLD: Final = 5.0

    def __init__(self, replicas: ReplicasSpec) -> None:
        self._hpa = _Hpa(replicas)

    def desired(self, seen: Seen) -> int:
        current = seen.observation.current
        if not self._hpa.due(seen.now):
            return current
        return self._hpa.step(average_value(seen.queued, self.THRESHOLD, current), current, seen.now)


class HpaInFlight:
    """The HorizontalPodAutoscaler on requests that run or wait, with the target that our policy has.

    kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale: tolerance 10 %, at most twice as many or four
    more in 15 s, and no fewer than the largest recommendation of the last 300 s.
    """

    name = "hpa"

    def __init__(self, replicas: ReplicasSpec, autoscaling: AutoscalingSpec) -> None:
        self._hpa = _Hpa(replicas)
        self._target = autoscaling.requests_per_replica * autoscaling.target_utilization

    def desired(self, seen: Seen) -> int:
        current = seen.observation.current
        if not self._hpa.due(seen.now):
            return current
        wanted = average_value(seen.in_flight + seen.queued, self._target, current)
        return self._hpa.step(wanted, current, seen.now)


class AibrixApa:
    """AIBrix's application-specific autoscaler on requests that run or wait, with the target that our policy has.

    vllm-project/aibrix, pkg/controller/podautoscaler/algorithm/apa.go and context/context.go: nothing within 10 % of
    the target, at most twice as many, no fewer than half, and 300 s between the last change and a scale-down.
    """

    name = "apa"
    TOLERANCE: Final = 0.1
    MAX_RATE: Final = 2.0
    COOLDOWN: Final = 300.0
    INTERVAL: Final = 10.0
    """Seconds between two reconciliations."""

    def __init__(self, replicas: ReplicasSpec, autoscaling: AutoscalingSpec) -> None:
        self._replicas = replicas
        self._target = autoscaling.requests_per_replica * autoscaling.target_utilization
        self._changed = -self.COOLDOWN
        self._next = 0.0

    def desired(self, seen: Seen) -> int:
        current, now = seen.observation.current, seen.now
        if now < self._next or not seen.observation.ready:
            return current
        self._next = now + self.INTERVAL
        use = (seen.in_flight + seen.queued) / seen.observation.ready
        wanted = min(max(self.recommend(current, use / self._target), self._replicas.min, 1), self._replicas.max)
        if wanted < current and now - self._changed < self.COOLDOWN:
            return current
        if wanted != current:
            self._changed = now
        return wanted

    @classmethod
    def recommend(cls, current: int, ratio: float) -> int:
        """Replicas at this ratio of use to target."""
        if ratio > 1 + cls.TOLERANCE:
            return min(ceil(current * ratio), ceil(cls.MAX_RATE * current))
        if ratio < 1 - cls.TOLERANCE:
            return max(ceil(current * ratio), floor(current / cls.MAX_RATE))
        return current


class LlmdSlo:
    """llm-d's law on latency against its objective.

    llm-d/llm-d, guides/workload-autoscaling/README.slo-aware.md: the worst 90th percentile as a share of its
    objective, at most 2, averaged over 45 s, kept between 0.40 and 0.55; an HPA then allows up twice as many or four
    more a minute after 30 s, and down one pod in 120 s after 180 s. Its objectives are ours, on the first answer token
    of each mode; the time per output token, of which we have no objective, is left out.
    """

    name = "llm-d"
    UP: Final = 0.55
    DOWN: Final = 0.40
    CLAMP: Final = 2.0
    SMOOTHING: Final = 45.0

    def __init__(self, replicas: ReplicasSpec) -> None:
        self._hpa = _Hpa(
            replicas, up_window=30.0, down_window=180.0, up=_Limit(1.0, 4, 60.0), down=_Limit(0.0, 1, 120.0)
        )
        self._saturation: deque[tuple[float, float]] = deque()

    def desired(self, seen: Seen) -> int:
        current, now = seen.observation.current, seen.now
        self._saturation.append((now, min(seen.latency.worst_of_objective(0.9) or 0.0, self.CLAMP)))
        while self._saturation[0][0] <= now - self.SMOOTHING:
            self._saturation.popleft()
        if not self._hpa.due(now):
            return current
        saturation = sum(value for _, value in self._saturation) / len(self._saturation)
        wanted = self.recommend(current, seen.observation.ready, saturation)
        return self._hpa.step(wanted, current, now)

    @classmethod
    def recommend(cls, current: int, ready: int, saturation: float) -> int:
        """Replicas at this saturation."""
        if saturation > cls.UP:
            credit = ready / current if 0 < ready < current else 1.0
            return current + ceil(current * (saturation * credit / cls.UP - 1.0))
        if saturation < cls.DOWN:
            return current - floor(current * (1.0 - saturation / cls.DOWN))
        return current
