"""Reads the signals of a service's replicas from their own /metrics: for when Prometheus is away, or there is none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import aiohttp
import structlog
from yarl import URL

from kat_operator.autoscaler.counters import CounterHistory
from kat_operator.autoscaler.exposition import samples_in
from kat_operator.autoscaler.series import Samples
from kat_operator.kinds import Key

_log = structlog.get_logger(__name__)
_PORT: Final = 8080
_MAX_BYTES: Final = 8 * 2**20
_CONCURRENCY: Final = 32
_PAUSE_SECONDS: Final = 15.0
"""A replica that did not answer is left alone for so long: time-outs of many must not fill the ticks of all."""


@dataclass(slots=True)
class _Pod:
    history: CounterHistory = field(default_factory=CounterHistory)
    not_before: float | None = None
    """When it may be asked again; None where it answered last."""


class PodMetrics:
    """Looks at replicas, and remembers what it saw. Its methods belong to one event loop.

    Args:
        session: Sends requests.
        port: Where replicas listen.
        timeout_seconds: For one replica, its wait for a turn included.
        monotonic: A clock in seconds that never goes back.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        port: int = _PORT,
        timeout_seconds: float = 2.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._port = port
        self._timeout_seconds = timeout_seconds
        self._monotonic = monotonic
        self._turns = asyncio.Semaphore(_CONCURRENCY)
        self._pods: dict[Key, dict[str, _Pod]] = {}

    async def samples(self, service: Key, ready_pods: Mapping[str, str]) -> dict[str, Samples]:
        """Look at each replica; what it says, by pod.

        Left out are those that do not answer, and those that have been seen too shortly for a rate.

        Args:
            service: Namespace and name.
            ready_pods: IP addresses by name.
        """
        known = self._pods.get(service, {})
        pods = self._pods[service] = {name: known.get(name) or _Pod() for name in ready_pods}
        found = await asyncio.gather(*(self._look(name, ready_pods[name], pod) for name, pod in pods.items()))
        return {name: samples for name, samples in zip(pods, found, strict=True) if samples is not None}

    def forget(self, service: Key) -> None:
        """The service is gone."""
        self._pods.pop(service, None)

    async def _look(self, name: str, address: str, pod: _Pod) -> Samples | None:
        if pod.not_before is not None and self._monotonic() < pod.not_before:
            return None
        try:
            async with asyncio.timeout(self._timeout_seconds), self._turns:
                seen = samples_in(await self._scrape(address))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            if pod.not_before is None:
                # Once, not with each look: where the operator cannot reach pods, it is all of them, for ever.
                _log.info("replica_not_scraped", pod=name, address=address, reason=f"{type(error).__name__}: {error}")
            pod.not_before = self._monotonic() + _PAUSE_SECONDS
            return None
        pod.not_before = None
        now = self._monotonic()
        pod.history.add(now, seen)
        return pod.history.rates(now)

    async def _scrape(self, address: str) -> str:
        url = URL.build(scheme="http", host=address, port=self._port, path="/metrics")
        # Packing the answer would cost a busy replica more than it saves inside a cluster.
        headers = {"Accept": "text/plain; version=0.0.4", "Accept-Encoding": "identity"}
        async with self._session.get(url, headers=headers, allow_redirects=False) as response:
            if response.status != HTTPStatus.OK:
                raise ValueError(f"{url} answered {response.status}")
            body = await response.content.read(_MAX_BYTES + 1)
            while len(body) <= _MAX_BYTES and (more := await response.content.read(_MAX_BYTES + 1 - len(body))):
                body += more
        if len(body) > _MAX_BYTES:
            raise ValueError(f"{url} answered more than {_MAX_BYTES} bytes")
        return body.decode()
