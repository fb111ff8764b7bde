"""What the operator knows of the cluster: a cache of each kind that it reads, kept up by watches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from kat_operator.api import SERVICE_LABEL
from kat_operator.cache import IDLE_SECONDS, Body, Cache
from kat_operator.connection import Connection
from kat_operator.kinds import AUTO_THINK_SERVICE, COMES_WITH, DEPLOYMENT, NODE, OWNED, POD, Key, Kind
from kat_operator.pod_view import same_but_version, trim_node, trim_pod

_RUNNING_PODS: Final = "status.phase!=Succeeded,status.phase!=Failed"


class Cluster:
    """The caches. `on_change` is called with the service that a change concerns.

    A watch that is silent for `idle_seconds` is taken for dead.
    """

    def __init__(
        self, namespaces: Collection[str], *, on_change: Callable[[Key], None], idle_seconds: float = IDLE_SECONDS
    ) -> None:
        self._on_change = on_change
        self._idle_seconds = idle_seconds
        self.capacity_version = 0
        """Counts the changes of what nodes have and what pods take of it."""
        self.services = Cache(
            AUTO_THINK_SERVICE, namespaces=namespaces, on_change=self._service_changed, idle_seconds=idle_seconds
        )
        self.deployments = self._of_services(DEPLOYMENT, namespaces)
        self.pods = Cache(
            POD,
            fields=_RUNNING_PODS,
            trim=trim_pod,
            index=_service_of,
            on_change=self._pod_changed,
            idle_seconds=idle_seconds,
        )
        self.nodes = Cache(NODE, trim=trim_node, on_change=self._node_changed, idle_seconds=idle_seconds)
        self.owned: Mapping[Kind, Cache] = {kind: self._of_services(kind, namespaces) for kind in OWNED}

    @property
    def caches(self) -> tuple[Cache, ...]:
        return (self.services, self.deployments, self.pods, self.nodes, *self.owned.values())

    @property
    def synced(self) -> bool:
        """Whether every kind was read once."""
        return all(cache.synced.is_set() for cache in self.caches)

    @property
    def unready(self) -> str | None:
        """What keeps the operator from its work, in one line; None where nothing does."""
        if not self.synced:
            return "the cluster's objects are not read yet"
        if not self.services.installed:
            return f"the cluster has no {AUTO_THINK_SERVICE.kind}: install {COMES_WITH[AUTO_THINK_SERVICE]}"
        return None

    async def wait_synced(self) -> None:
        for cache in self.caches:
            await cache.synced.wait()

    async def run(self, connection: Connection) -> None:
        """Keep all caches up until cancelled."""
        async with asyncio.TaskGroup() as group:
            for cache in self.caches:
                group.create_task(cache.run(connection))

    def _of_services(self, kind: Kind, namespaces: Collection[str]) -> Cache:
        return Cache(
            kind,
            namespaces=namespaces,
            labels=SERVICE_LABEL,
            index=_service_of,
            on_change=self._owned_changed,
            idle_seconds=self._idle_seconds,
        )

    def _service_changed(self, old: Body | None, new: Body | None) -> None:
        # Status is written by nobody else, and writing it must not bring on the next look.
        if old is None or new is None or _intent(old) != _intent(new):
            body = new or old
            assert body is not None  # noqa: S101 - a change has at least one side
            self._on_change(Key(body["metadata"]["namespace"], body["metadata"]["name"]))

    def _owned_changed(self, old: Body | None, new: Body | None) -> None:
        owner = _service_of(new or old or {})
        if owner is not None:
            self._on_change(owner)

    def _pod_changed(self, old: Body | None, new: Body | None) -> None:
        if old is not None and new is not None and same_but_version(old, new):
            return
        if _taken(old) != _taken(new):
            self.capacity_version += 1
        self._owned_changed(old, new)

    def _node_changed(self, old: Body | None, new: Body | None) -> None:
        # No service is woken: with the next tick each of them sees it.
        if old is None or new is None or not same_but_version(old, new):
            self.capacity_version += 1


def _service_of(body: Body) -> Key | None:
    metadata = body.get("metadata", {})
    name = metadata.get("labels", {}).get(SERVICE_LABEL)
    return Key(metadata["namespace"], name) if name else None


def _intent(body: Body) -> tuple[Any, ...]:
    metadata = body["metadata"]
    return metadata["uid"], metadata.get("generation"), metadata.get("deletionTimestamp")


def _taken(pod: Body | None) -> tuple[Any, ...] | None:
    """What a pod takes from which node."""
    return (pod["spec"].get("nodeName"), pod["spec"]) if pod is not None else None
