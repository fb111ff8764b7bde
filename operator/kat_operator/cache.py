"""What the API server has of one kind, kept up to date: a list, then a watch, then a list again when that fails."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import aclosing
from typing import Any, Final

import structlog

from kat_operator.connection import Connection
from kat_operator.errors import ApiServerError, Expired, NotFound, Unreachable
from kat_operator.kinds import COMES_WITH, Key, Kind, key_of

log = structlog.get_logger(__name__)

Body = Mapping[str, Any]
Trim = Callable[[dict[str, Any]], Body]
Index = Callable[[Body], Key | None]
Changed = Callable[[Body | None, Body | None], None]

_PAGE: Final = 500
_WATCH_SECONDS: Final = 240
"""The server ends a watch after so long; with the client's own limit on silence, no dead connection lasts longer."""
IDLE_SECONDS: Final = 90.0
"""Bookmarks come about once a minute, so a longer silence is a dead connection."""
_BACKOFF_SECONDS: Final = (0.25, 30.0)
_MISSING_SECONDS: Final = 10.0
"""Time between two looks for a kind that is not installed."""


def without_managed_fields(body: dict[str, Any]) -> Body:
    """The object less what a server-side apply leaves in it, which is as large as all the rest."""
    body["metadata"].pop("managedFields", None)
    return body


class Cache:
    """All objects of a kind, or those with a label. Read-only to its callers: what it hands out is shared."""

    def __init__(
        self,
        kind: Kind,
        *,
        namespaces: Collection[str] = (),
        labels: str = "",
        fields: str = "",
        trim: Trim = without_managed_fields,
        index: Index = lambda _body: None,
        on_change: Changed = lambda _old, _new: None,
        idle_seconds: float = IDLE_SECONDS,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.kind = kind
        self.installed = True
        """Whether the API server knows this kind."""
        self.synced = asyncio.Event()
        self.lists = 0
        """Lists read so far: more than one a namespace means that a watch failed."""
        self._namespaces = tuple(namespaces) or ("",)
        self._query = {name: value for name, value in (("labelSelector", labels), ("fieldSelector", fields)) if value}
        self._trim = trim
        self._index = index
        self._changed = on_change
        self._idle_seconds = idle_seconds
        self._jitter = jitter
        self._objects: dict[Key, Body] = {}
        self._indexed: defaultdict[Key, dict[Key, Body]] = defaultdict(dict)
        self._listed: set[str] = set()

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, key: Key) -> Body | None:
        return self._objects.get(key)

    def all(self) -> Iterable[Body]:
        return self._objects.values()

    def names(self) -> Iterable[Key]:
        return self._objects.keys()

    def of(self, owner: Key) -> list[Body]:
        """The objects that `index` gives to `owner`."""
        return list(self._indexed[owner].values()) if owner in self._indexed else []

    def put(self, body: dict[str, Any]) -> None:
        """Take what a write answered, so that the next look need not wait for the watch to bring it."""
        known = self._objects.get(key_of(body))
        if known is None or _version(body) > _version(known):
            self._store(body)

    async def run(self, connection: Connection) -> None:
        """Keep up until cancelled."""
        async with asyncio.TaskGroup() as group:
            for namespace in self._namespaces:
                group.create_task(self._follow(connection, namespace))

    async def _follow(self, connection: Connection, namespace: str) -> None:
        least, most = _BACKOFF_SECONDS
        delay, version = least, ""
        while True:
            try:
                if not version:
                    version = await self._list(connection, namespace)
                    delay = least
                version = await self._watch(connection, namespace, version)
            except NotFound:
                self._missing(namespace)
                version, delay = "", _MISSING_SECONDS
            except Expired:
                version = ""
                continue
            except (ApiServerError, Unreachable) as error:
                # Events may have been missed with the connection: only a new list tells what there is now.
                version = ""
                delay = min(most, delay * 2)
                log.warning("watch failed", kind=self.kind.plural, namespace=namespace or "all", why=str(error))
            else:
                continue
            await asyncio.sleep(delay * (0.5 + self._jitter()))

    async def _list(self, connection: Connection, namespace: str) -> str:
        seen: set[Key] = set()
        query: dict[str, str | int] = {**self._query, "limit": _PAGE}
        while True:
            page = await connection.get(self.kind.path(namespace), **query)
            for body in page["items"]:
                seen.add(key_of(body))
                self._store(body)
            follow = page["metadata"].get("continue")
            if not follow:
                break
            query["continue"] = follow
        for key in [key for key in self._objects if key not in seen and namespace in {"", key.namespace}]:
            self._drop(key)
        self.lists += 1
        if not self.installed:
            log.info("kind is installed by now", kind=self.kind.plural, group=self.kind.group)
        self.installed = True
        self._is_listed(namespace)
        version: str = page["metadata"]["resourceVersion"]
        return version

    async def _watch(self, connection: Connection, namespace: str, version: str) -> str:
        events = connection.watch(
            self.kind.path(namespace),
            idle_seconds=self._idle_seconds,
            resourceVersion=version,
            allowWatchBookmarks="true",
            timeoutSeconds=int(_WATCH_SECONDS * (0.75 + self._jitter() / 2)),
            **self._query,
        )
        async with aclosing(events):
            async for event in events:
                body = event["object"]
                version = body["metadata"]["resourceVersion"]
                match event["type"]:
                    case "ADDED" | "MODIFIED":
                        # An answer to a write of ours may have come before the events that led up to it.
                        self.put(body)
                    case "DELETED":
                        self._drop(key_of(body))
        return version

    def _store(self, body: dict[str, Any]) -> None:
        key = key_of(body)
        old = self._objects.get(key)
        if old is not None and _version(old) == _version(body):
            return
        kept = self._trim(body)
        if old is not None:
            self._forget(key, old)
        self._objects[key] = kept
        owner = self._index(kept)
        if owner is not None:
            self._indexed[owner][key] = kept
        self._changed(old, kept)

    def _drop(self, key: Key) -> None:
        old = self._objects.pop(key, None)
        if old is not None:
            self._forget(key, old)
            self._changed(old, None)

    def _forget(self, key: Key, body: Body) -> None:
        owner = self._index(body)
        if owner is not None:
            self._indexed[owner].pop(key, None)
            if not self._indexed[owner]:
                del self._indexed[owner]

    def _missing(self, namespace: str) -> None:
        if self.installed:
            comes_with = COMES_WITH.get(self.kind, "Kubernetes")
            log.warning("kind is not installed", kind=self.kind.plural, group=self.kind.group, comes_with=comes_with)
        self.installed = False
        for key in list(self._objects):
            self._drop(key)
        self._is_listed(namespace)

    def _is_listed(self, namespace: str) -> None:
        self._listed.add(namespace)
        if len(self._listed) == len(self._namespaces):
            self.synced.set()


def _version(body: Body) -> int:
    # Compared as numbers since Kubernetes 1.35 says that they may be (KEP-5504); they always were with etcd.
    return int(body["metadata"]["resourceVersion"])
