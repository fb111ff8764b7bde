"""`/metrics`, `/healthz` and `/readyz` of the operator."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

_SHUTDOWN_SECONDS: Final = 1.0
"""All answers here are short; who still waits at the end gets none."""


def health_app(
    registry: CollectorRegistry, *, alive: Callable[[], bool], unready: Callable[[], str | None]
) -> web.Application:
    """`alive` is whether the loop goes round, `unready` what keeps the operator from its work; a standby is ready, too."""

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthz(_request: web.Request) -> web.Response:
        return _answer(None if alive() else "the loop stands still")

    async def readyz(_request: web.Request) -> web.Response:
        return _answer(unready())

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    return app


def _answer(fault: str | None) -> web.Response:
    status = HTTPStatus.OK if fault is None else HTTPStatus.SERVICE_UNAVAILABLE
    return web.Response(text=fault or "ok", status=status)


@asynccontextmanager
async def serving(app: web.Application, *, host: str, port: int) -> AsyncGenerator[int]:
    """Serve in this event loop; gives the port."""
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
