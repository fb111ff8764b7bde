"""The loop: who is due is looked at, planned for and written, one look at a service at a time."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from kat_operator.activator import Wishes, activator_endpoint_slice
from kat_operator.applier import Applier
from kat_operator.autoscaler.capacity import NodeRoom, ceiling, rooms
from kat_operator.autoscaler.signals_reader import SignalsReader
from kat_operator.cluster import Cluster
from kat_operator.crd import read_spec
from kat_operator.errors import ApiServerError, InvalidSpec, NotLeader, OperatorError, Unreachable
from kat_operator.kinds import OWNED, Key, key_of
from kat_operator.metrics import Metrics
from kat_operator.observed import Body, Memory, Observed
from kat_operator.plan import Plan
from kat_operator.pod_view import PodView, view_pod
from kat_operator.predictor_pod import PredictorOptions
from kat_operator.reasons import Reason
from kat_operator.reconcile import could_not, reconcile
from kat_operator.rendering import Rendering
from kat_operator.resources import Owner
from kat_operator.schedule import Schedule

log = structlog.get_logger(__name__)

_LONGEST_SLEEP_SECONDS: Final = 1.0
"""The loop goes round at least this often, so that it sees a lease that was lost or won."""
_INTERVAL_SECONDS: Final = 5.0
"""Of a service whose spec cannot be read."""


@dataclass(frozen=True, slots=True)
class ActivatorAddress:
    """Where pods reach the activator."""

    ip: str
    port: int


@dataclass(slots=True)
class _Known:
    """What is kept of a service between two looks."""

    uid: str
    generation: int
    rendering: Rendering
    memory: Memory = field(default_factory=Memory)
    room: dict[str, int] = field(default_factory=dict)
    room_version: int = -1


class Controller:
    """Runs all services of a cluster while `leading` says so."""

    def __init__(
        self,
        *,
        cluster: Cluster,
        applier: Applier,
        reader: SignalsReader,
        wishes: Wishes,
        metrics: Metrics,
        options: PredictorOptions,
        leading: Callable[[], bool],
        activator: ActivatorAddress | None = None,
        concurrency: int = 8,
        backoff_seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._cluster = cluster
        self._applier = applier
        self._reader = reader
        self._wishes = wishes
        self._metrics = metrics
        self._options = options
        self._leading = leading
        self._activator = activator
        self._clock = clock
        self._now = now
        self._schedule = Schedule(longest_backoff_seconds=backoff_seconds, jitter=jitter)
        self._turns = asyncio.Semaphore(concurrency)
        self._changed = asyncio.Event()
        self._known: dict[Key, _Known] = {}
        self._rooms: tuple[NodeRoom, ...] = ()
        self._rooms_version = -1
        self.went_round = clock()
        """When the loop last went round."""

    def wake(self, service: Key) -> None:
        """Something of a service changed."""
        if self._cluster.services.get(service) is not None:
            self._schedule.add(service, self._clock())
        self._schedule.wake(service, self._clock())
        self._changed.set()

    async def run(self) -> None:
        """Until cancelled. A failure of one service is its own; only a fault of this program ends the loop."""
        led = False
        async with asyncio.TaskGroup() as looks:
            while True:
                self.went_round = self._clock()
                leads = self._leading()
                if leads and not led:
                    self._take_over()
                elif not leads:
                    # With every round, since a look that was under way may have told of its service since.
                    self._metrics.forget_all()
                self._metrics.leading(yes=leads)
                led = leads
                if leads and self._cluster.synced:
                    for service in list(self._schedule.begin(self._clock())):
                        looks.create_task(self._look(service))
                await self._pause(working=leads)

    async def _pause(self, *, working: bool) -> None:
        due = self._schedule.next_due() if working else None
        wait = _LONGEST_SLEEP_SECONDS if due is None else min(_LONGEST_SLEEP_SECONDS, due - self._clock())
        self._changed.clear()
        try:
            async with asyncio.timeout(max(0.0, wait)):
                await self._changed.wait()
        except TimeoutError:
            return

    def _take_over(self) -> None:
        # Another operator may have acted in between: its decisions are in the status, its writes in the cluster.
        self._known.clear()
        self._applier.start_anew()
        for service in self._cluster.services.names():
            self._schedule.add(service, self._clock())
        self._schedule.all_due(self._clock())

    async def _look(self, service: Key) -> None:
        interval, failed = _INTERVAL_SECONDS, False
        try:
            interval = await self._reconcile(service)
        except NotLeader:
            log.info("stops in the middle: the lease is lost", service=str(service))
        except Unreachable as error:
            # No fault of the service: with the next tick it is tried again.
            log.warning("API server does not answer", service=str(service), why=str(error))
            self._metrics.failed(type(error).__name__)
        except ApiServerError as error:
            failed = True
            await self._tell_failure(service, error)
        except Exception as error:
            # A fault of this program in one service must not stop the others.
            failed = True
            log.exception("look at a service failed", service=str(service))
            await self._tell_failure(service, error)
        finally:
            self._schedule.end(service, self._clock(), interval=interval, failed=failed)
            self._changed.set()

    async def _reconcile(self, service: Key) -> float:
        """One look; the seconds to the next."""
        body = self._cluster.services.get(service)
        if body is None:
            self._forget(service)
            return _INTERVAL_SECONDS
        if "deletionTimestamp" in body["metadata"]:
            # What it owns goes with it.
            return _INTERVAL_SECONDS
        started = self._clock()
        try:
            known = self._know(service, body)
        except InvalidSpec as error:
            observed = await self._observe(service, body, None)
            await self._carry_out(body, could_not(observed, Reason.INVALID_SPEC, str(error)), observed.at)
            return _INTERVAL_SECONDS
        observed = await self._observe(service, body, known)
        plan, known.memory = reconcile(known.rendering, observed, known.memory)
        if plan.decision is not None:
            self._metrics.decided(
                service, replicas=plan.decision.replicas, ready=plan.status.ready_replicas, reason=plan.decision.reason
            )
        autoscaling = known.rendering.spec.autoscaling
        self._wishes.expect(service, plan.status.startup_seconds or autoscaling.startup_seconds)
        await self._carry_out(body, plan, observed.at)
        self._metrics.reconciled(self._clock() - started)
        return autoscaling.interval_seconds

    async def _carry_out(self, body: Body, plan: Plan, at: float) -> None:
        self._metrics.told(key_of(body), plan.status.conditions)
        async with self._turns:
            await self._applier.carry_out(body, plan, at)

    async def _tell_failure(self, service: Key, error: Exception) -> None:
        log.warning("service will be tried again", service=str(service), why=str(error))
        self._metrics.failed(type(error).__name__)
        body = self._cluster.services.get(service)
        if body is None:
            return
        try:
            observed = await self._observe(service, body, None)
            told = str(error) if isinstance(error, ApiServerError) else f"a fault of the operator: {error!r}"
            await self._carry_out(body, could_not(observed, Reason.RECONCILE_FAILED, told), observed.at)
        except OperatorError as again:
            log.warning("status could not be written", service=str(service), why=str(again))

    def _know(self, service: Key, body: Body) -> _Known:
        metadata = body["metadata"]
        known = self._known.get(service)
        if known is not None and (known.uid, known.generation) == (metadata["uid"], metadata["generation"]):
            return known
        spec = read_spec(body)
        rendering = Rendering(Owner(service.namespace, service.name, metadata["uid"]), spec, self._options)
        memory = known.memory if known is not None and known.uid == metadata["uid"] else Memory()
        self._known[service] = _Known(metadata["uid"], metadata["generation"], rendering, memory)
        return self._known[service]

    async def _observe(self, service: Key, body: Body, known: _Known | None) -> Observed:
        pods = [view_pod(pod) for pod in self._cluster.pods.of(service)]
        serving = {pod.name: pod.ip for pod in pods if pod.ready and not pod.terminating and pod.ip}
        if serving:
            self._wishes.fulfilled(service)
        reading = await self._reader.read_signals(service, serving)
        return Observed(
            service=body,
            now=self._now(),
            at=self._clock(),
            owned={
                (kind, object_["metadata"]["name"]): object_
                for kind in OWNED
                for object_ in self._cluster.owned[kind].of(service)
            },
            deployments={
                deployment["metadata"]["name"]: deployment for deployment in self._cluster.deployments.of(service)
            },
            pods=pods,
            room={} if known is None else self._room(known),
            missing=frozenset(kind for kind in OWNED if not self._cluster.owned[kind].installed),
            reading=reading,
            wanted_by_activator=self._wishes.wanted(service),
            activator=self._activator_slice(body, pods),
        )

    def _activator_slice(self, body: Body, pods: list[PodView]) -> dict[str, Any] | None:
        if self._activator is None:
            return None
        ready = [pod.name for pod in pods if pod.ready and not pod.terminating]
        return activator_endpoint_slice(body, self._activator.ip, self._activator.port, ready)

    def _room(self, known: _Known) -> dict[str, int]:
        version = self._cluster.capacity_version
        if self._rooms_version != version:
            self._rooms = rooms(self._cluster.nodes.all(), self._cluster.pods.all())
            self._rooms_version = version
        if known.room_version != version:
            known.room = {pool.name: ceiling(pool, self._rooms, 0) for pool in known.rendering.spec.pools}
            known.room_version = version
        return known.room

    def _forget(self, service: Key) -> None:
        self._known.pop(service, None)
        self._metrics.forget(service)
        self._schedule.remove(service)
        self._applier.forget(service)
        self._reader.forget(service)
        self._wishes.forget(service)
