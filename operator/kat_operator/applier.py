"""Does what a plan says, and nothing that is done already."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import structlog

from kat_operator.cluster import Cluster
from kat_operator.connection import Connection
from kat_operator.drift import Applied
from kat_operator.errors import NotFound
from kat_operator.events import Events
from kat_operator.kinds import AUTO_THINK_SERVICE, DEPLOYMENT, POD, Key, key_of, kind_of
from kat_operator.metrics import Metrics
from kat_operator.observed import Body
from kat_operator.plan import DeletionCost, Plan, Scale
from kat_operator.pod_view import DELETION_COST
from kat_operator.status import AutoThinkServiceStatus

log = structlog.get_logger(__name__)

_REFRESH_SECONDS: Final = 30.0
"""A status whose figures alone have moved is written this often: figures move with every request."""


class Applier:
    """Writes to one cluster. Raises ApiServerError, Unreachable or NotLeader at the first step that fails."""

    def __init__(self, connection: Connection, cluster: Cluster, events: Events, metrics: Metrics) -> None:
        self._connection = connection
        self._cluster = cluster
        self._events = events
        self._metrics = metrics
        self._applied = Applied()
        self._status_at: dict[Key, float] = {}

    async def carry_out(self, service: Body, plan: Plan, at: float) -> None:
        """All steps of a plan for one service; `at` is its moment on the loop's clock."""
        for desired in plan.apply:
            await self._apply(desired)
        await self._write_status(service, plan.status, at)
        await asyncio.gather(*(self._mark(cost) for cost in plan.costs))
        for scale in plan.scale:
            await self._scale(scale)
        for deletion in plan.delete:
            await self._connection.delete(deletion.kind.path(*deletion.key), uid=deletion.uid)
            self._applied.forget(deletion.kind, deletion.key)
            self._metrics.wrote(deletion.kind.kind)
        await self._events.tell(service, plan.transitions)

    def forget(self, service: Key) -> None:
        """The service is gone, and everything of it with it."""
        self._status_at.pop(service, None)
        self._applied.forget_all(service)

    def start_anew(self) -> None:
        """Others may have written in between: nothing is taken to be applied."""
        self._applied = Applied()
        self._status_at.clear()

    async def _apply(self, desired: Mapping[str, Any]) -> None:
        kind, key = kind_of(desired), key_of(desired)
        cache = self._cluster.owned[kind]
        if not self._applied.wanting(desired, cache.get(key)):
            return
        answer = await self._connection.apply(kind.path(*key), desired)
        tolerated = self._applied.record(desired, answer)
        if tolerated:
            log.warning("somebody changes what is applied", kind=kind.kind, object=str(key), where=sorted(tolerated))
        self._metrics.wrote(kind.kind)
        cache.put(answer)

    async def _write_status(self, service: Body, status: AutoThinkServiceStatus, at: float) -> None:
        key = key_of(service)
        before = AutoThinkServiceStatus.read(service)
        if status == before:
            return
        fresh = at - self._status_at.get(key, float("-inf")) < _REFRESH_SECONDS
        if fresh and _without_figures(status) == _without_figures(before):
            return
        # In a merge patch only null takes away what is there.
        gone: dict[str, Any] = dict.fromkeys(service.get("status") or {}, None)
        path = AUTO_THINK_SERVICE.path(*key, "status")
        answer = await self._connection.merge(path, {"status": {**gone, **status.to_json()}})
        self._status_at[key] = at
        self._metrics.wrote(AUTO_THINK_SERVICE.kind)
        self._cluster.services.put(answer)

    async def _mark(self, cost: DeletionCost) -> None:
        value = str(cost.cost) if cost.cost else None
        try:
            await self._connection.merge(POD.path(*cost.pod), {"metadata": {"annotations": {DELETION_COST: value}}})
        except NotFound:
            # It went first, and by itself.
            return
        self._metrics.wrote(POD.kind)

    async def _scale(self, scale: Scale) -> None:
        path = DEPLOYMENT.path(*scale.deployment, "scale")
        try:
            await self._connection.merge(path, {"spec": {"replicas": scale.replicas}})
        except NotFound:
            # KServe makes it anew, with one replica, and the next look finds it.
            return
        self._metrics.wrote(DEPLOYMENT.kind)
        log.info("scaled", deployment=str(scale.deployment), replicas=scale.replicas)


def _without_figures(status: AutoThinkServiceStatus) -> AutoThinkServiceStatus:
    decision = status.last_decision
    return status.model_copy(
        update={
            "think_on_share": None,
            "startup_seconds": None,
            "conditions": tuple(condition.model_copy(update={"message": ""}) for condition in status.conditions),
            "last_decision": None
            if decision is None
            else decision.model_copy(update={"wishes": (), "message": "", "time": None}),
        }
    )
