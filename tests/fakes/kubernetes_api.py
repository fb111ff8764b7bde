"""An API server of leases alone, or whatever else is put into it: lists, watches, and optimistic locking."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from kat_operator.connection import Connection
from kat_operator.health import serving

Json = dict[str, Any]


@dataclass
class FakeApi:
    """Objects by path. `down` answers nothing but 503; `oldest` is the oldest version that a watch may go on from."""

    objects: dict[str, Json] = field(default_factory=dict)
    version: int = 100
    oldest: int = 0
    down: bool = False
    hang: bool = False
    """Requests are taken and not answered."""
    refused: int = 0
    """Requests that were answered while it was down."""
    lists: int = 0
    writes: int = 0
    watches_opened: int = 0
    watches: set[asyncio.Queue[Json | None]] = field(default_factory=set)

    def put(self, path: str, body: Json) -> Json:
        self.version += 1
        kind = "MODIFIED" if path in self.objects else "ADDED"
        body = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        self.objects[path] = body
        self._tell(kind, body)
        return body

    def remove(self, path: str) -> None:
        self.version += 1
        body = self.objects.pop(path)
        self._tell("DELETED", {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}})

    def cut(self) -> None:
        """End all watches, and forget what happened: they cannot go on from where they were."""
        self.oldest = self.version + 1
        for queue in self.watches:
            queue.put_nowait(None)

    def say(self, event: Json) -> None:
        """Send any event to all watches."""
        for queue in self.watches:
            queue.put_nowait(event)

    def _tell(self, kind: str, body: Json) -> None:
        self.say({"type": kind, "object": body})

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if self.hang:
            await asyncio.sleep(3600)
        if self.down:
            self.refused += 1
            return web.json_response({"message": "the server is away"}, status=503)
        if request.method != "GET":
            self.writes += 1
            return await self._write(request)
        if request.query.get("watch"):
            return await self._watch(request)
        if request.path in self.objects:
            return web.json_response(self.objects[request.path])
        if any(path.startswith(f"{request.path}/") for path in self.objects) or request.path.count("/") < 5:
            self.lists += 1
            items = [body for path, body in self.objects.items() if path.startswith(f"{request.path}/")]
            return web.json_response({"metadata": {"resourceVersion": str(self.version)}, "items": items})
        return _refused(404, "not found")

    async def _write(self, request: web.Request) -> web.Response:
        body = await request.json()
        if request.method == "POST":
            path = f"{request.path}/{body['metadata']['name']}"
            return _refused(409, "exists") if path in self.objects else web.json_response(self.put(path, body))
        known = self.objects.get(request.path)
        if known is None:
            return _refused(404, "not found")
        if body["metadata"]["resourceVersion"] != known["metadata"]["resourceVersion"]:
            return _refused(409, "the object has been modified")
        return web.json_response(self.put(request.path, body))

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        if int(request.query["resourceVersion"]) < self.oldest:
            return _refused(410, "too old resource version")
        response = web.StreamResponse()
        await response.prepare(request)
        queue: asyncio.Queue[Json | None] = asyncio.Queue()
        self.watches.add(queue)
        self.watches_opened += 1
        try:
            while (event := await queue.get()) is not None:
                await response.write(json.dumps(event).encode() + b"\n")
        finally:
            self.watches.discard(queue)
        return response


def _refused(status: int, message: str) -> web.Response:
    return web.json_response({"message": message, "code": status}, status=status)


@asynccontextmanager
async def connected(api: FakeApi, folder: Path) -> AsyncIterator[Connection]:
    """The fake on a port, and a connection to it."""
    async with serving(api.app(), host="127.0.0.1", port=0) as port:
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "current-context": "test",
                    "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
                    "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
                    "users": [{"name": "test", "user": {"token": "test"}}],
                }
            )
        )
        async with Connection.open(kubeconfig) as connection:
            yield connection
