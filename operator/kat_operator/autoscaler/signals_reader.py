"""Reads a service's signals: from Prometheus, else from the replicas themselves.

reader = SignalsReader(prometheus=Prometheus(session, url), pods=PodMetrics(session))
reading = await reader.read_signals(Key("default", "kat"), {"kat-h100-predictor-7c9-x2x": "10.0.0.7"})
if reading.signals is None:                         # hold; `reason` and `message` are for MetricsAvailable
    ...
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from kat_operator.autoscaler.pod_metrics import PodMetrics
from kat_operator.autoscaler.prometheus import Prometheus
from kat_operator.autoscaler.series import Reading, Reason, Samples, reading_of
from kat_operator.errors import PrometheusFailed
from kat_operator.kinds import Key

STALE_AFTER_SECONDS: Final = 30.0
"""Six scrapes of the PodMonitor's five seconds: fewer may fail under load."""
_GRACE_SECONDS: Final = 45.0
"""Prometheus finds a new target and scrapes it twice well within this."""


class SignalsReader:
    """Reads signals of all services. Its methods belong to one event loop.

    Args:
        prometheus: Where it is configured.
        pods: Reads the replicas' own metrics while Prometheus gives none.
        stale_after_seconds: Older samples tell nothing.
        monotonic: A clock in seconds that never goes back.
    """

    def __init__(
        self,
        *,
        prometheus: Prometheus | None,
        pods: PodMetrics,
        stale_after_seconds: float = STALE_AFTER_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._prometheus = prometheus
        self._pods = pods
        self._stale_after_seconds = stale_after_seconds
        self._monotonic = monotonic
        self._ready_since: dict[Key, dict[str, float]] = {}

    async def read_signals(self, service: Key, ready_pods: Mapping[str, str]) -> Reading:
        """The service's load, or why it is not known. Raises nothing.

        Args:
            service: Namespace and name.
            ready_pods: IP addresses by name of the pods that are ready.
        """
        now = self._monotonic()
        known = self._ready_since.get(service, {})
        since = self._ready_since[service] = {pod: known.get(pod, now) for pod in ready_pods}
        ready = {pod: now - first for pod, first in since.items()}
        if self._prometheus is None or not ready_pods:
            return _from_pods(await self._of_pods(service, ready_pods, ready), "no Prometheus is configured")
        reading = await self._of_prometheus(self._prometheus, service, ready)
        if reading.signals is not None:
            return reading
        own = await self._of_pods(service, ready_pods, ready)
        return reading if own.signals is None else _from_pods(own, reading.message)

    def forget(self, service: Key) -> None:
        """The service is gone."""
        self._ready_since.pop(service, None)
        self._pods.forget(service)

    async def _of_prometheus(self, prometheus: Prometheus, service: Key, ready: Mapping[str, float]) -> Reading:
        try:
            everything = await prometheus.samples()
        except PrometheusFailed as error:
            return Reading(None, Reason.PROMETHEUS_UNREACHABLE, str(error))
        return self._reading(
            {pod: samples for pod in ready if (samples := everything.get(Key(service.namespace, pod)))}, ready
        )

    async def _of_pods(self, service: Key, ready_pods: Mapping[str, str], ready: Mapping[str, float]) -> Reading:
        samples = await self._pods.samples(service, ready_pods)
        return self._reading(samples, ready)

    def _reading(self, samples: Mapping[str, Samples], ready: Mapping[str, float]) -> Reading:
        return reading_of(samples, ready, stale_after_seconds=self._stale_after_seconds, grace_seconds=_GRACE_SECONDS)


def _from_pods(reading: Reading, because: str) -> Reading:
    if reading.signals is None:
        return reading
    return replace(reading, reason=Reason.FROM_PODS, message=f"{reading.message}, from the pods themselves: {because}")
