"""The operator's composition root: what is built of what, and in which order it starts and ends."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, Final

import aiohttp
import structlog

from kat_operator.activator import Wishes, activator_app
from kat_operator.applier import Applier
from kat_operator.autoscaler.pod_metrics import PodMetrics
from kat_operator.autoscaler.prometheus import Prometheus
from kat_operator.autoscaler.signals_reader import SignalsReader
from kat_operator.cluster import Cluster
from kat_operator.connection import Connection
from kat_operator.controller import ActivatorAddress, Controller
from kat_operator.events import Events
from kat_operator.health import health_app, serving
from kat_operator.kinds import Key
from kat_operator.leader import Leadership
from kat_operator.metrics import Metrics
from kat_operator.predictor_pod import PredictorOptions
from kat_operator.settings import Settings

log = structlog.get_logger(__name__)

_SIGNALS_SECONDS: Final = 1.0
"""Services that come due together share one answer of Prometheus; the next tick must not see this one's."""
_STANDSTILL_SECONDS: Final = 30.0
"""The loop goes round every second; one that has not for so long hangs."""


async def run_operator(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. Raises NoCluster where there is no way to one."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(Connection.open(settings.kubeconfig))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        metrics = Metrics()
        leadership = Leadership(connection, Key(settings.lease_namespace, settings.lease_name), settings.name)
        fenced = connection.fenced(lambda: leadership.leading)

        def wake(service: Key) -> None:
            controller.wake(service)

        wishes = Wishes(on_wish=wake)
        cluster = Cluster(settings.namespaces, on_change=wake, idle_seconds=settings.watch_idle_seconds)
        activator = await stack.enter_async_context(
            serving(activator_app(wishes), host=settings.host, port=settings.activator_port)
        )
        controller = Controller(
            cluster=cluster,
            applier=Applier(fenced, cluster, Events(fenced, settings.name), metrics),
            reader=_reader(session, settings),
            wishes=wishes,
            metrics=metrics,
            options=PredictorOptions(
                image=settings.predictor_image,
                image_pull_policy=settings.image_pull_policy,
                run_as_user=settings.run_as_user,
            ),
            leading=lambda: leadership.leading,
            activator=ActivatorAddress(settings.activator_ip, activator) if settings.activator_ip else None,
            concurrency=settings.concurrency,
            backoff_seconds=settings.backoff_seconds,
        )
        health = health_app(metrics.registry, alive=_alive(controller), unready=lambda: cluster.unready)
        port = await stack.enter_async_context(serving(health, host=settings.host, port=settings.port))
        log.info("listens", metrics_port=port, activator_port=activator, identity=settings.name)
        stack.push_async_callback(leadership.release)
        await _until(stopped, cluster.run(connection), leadership.run(), controller.run())


def _reader(session: aiohttp.ClientSession, settings: Settings) -> SignalsReader:
    prometheus = None
    if settings.prometheus_url is not None:
        prometheus = Prometheus(session, str(settings.prometheus_url), max_age_seconds=_SIGNALS_SECONDS)
    return SignalsReader(prometheus=prometheus, pods=PodMetrics(session))


def _alive(controller: Controller) -> Callable[[], bool]:
    return lambda: time.monotonic() - controller.went_round < _STANDSTILL_SECONDS


class _Stopped(Exception):
    """Ends what runs, in order."""


async def _until(stopped: asyncio.Event, *parts: Coroutine[Any, Any, None]) -> None:
    """Run the parts until told to stop. One that fails ends them all, and the process with them."""

    async def end() -> None:
        await stopped.wait()
        raise _Stopped

    try:
        async with asyncio.TaskGroup() as group:
            for part in (end(), *parts):
                group.create_task(part)
    except* _Stopped:
        log.info("stops")
