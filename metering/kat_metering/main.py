"""The composition root of metering: settings in, application out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version

import anyio.to_thread
import structlog
from fastapi import FastAPI
from sqlalchemy import Engine

from kat.home import kat_home
from kat_metering.api import directory, events, exports, health, prices, requests, savings, tenants, usage
from kat_metering.api.body_limit import BodyLimit
from kat_metering.api.problems import answer_with_problems
from kat_metering.api.services import Services, provide
from kat_metering.budgets import Spending
from kat_metering.keeper import Keeper
from kat_metering.metrics import Metrics
from kat_metering.settings import Settings, StoreSettings
from kat_metering.store.embedded import EmbeddedPostgres
from kat_metering.store.engine import make_engine

log = structlog.get_logger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def open_store(settings: StoreSettings, *, join: bool = False) -> Iterator[Engine]:
    """Connections to the database: the one of the settings, or this machine's own, started and stopped here.

    `join`: where a running service has the machine's own database, connect to that. Raises EmbeddedPostgresError where
    the database is the machine's own and cannot be started, or is another's and `join` is not asked for.
    """
    with ExitStack() as stack:
        if settings.database_url is not None:
            url = settings.database_url.get_secret_value()
        else:
            server = EmbeddedPostgres(kat_home() / "postgres")
            url = server.url
            if not join or server.own():
                stack.enter_context(server)
        engine = make_engine(
            url, connections=settings.database_connections, timeout_seconds=settings.database_timeout_seconds
        )
        stack.callback(engine.dispose)
        yield engine


def create_app(settings: Settings, *, clock: Callable[[], datetime] = _now) -> FastAPI:
    """The application. Its lifespan opens the database and keeps it in order; it serves while the database is away."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # Opening and closing wait for a server and for threads, so they happen off the event loop.
        store = open_store(settings)
        engine = await anyio.to_thread.run_sync(store.__enter__)
        try:
            metrics = Metrics()
            keeper = Keeper(engine, settings, metrics, clock)
            provide(app, Services(settings, engine, metrics, Spending(settings.currency), keeper, clock))
            keeper.start()
            try:
                yield
            finally:
                await anyio.to_thread.run_sync(keeper.stop)
        finally:
            await anyio.to_thread.run_sync(store.__exit__, None, None, None)

    app = FastAPI(
        title="kat metering",
        version=version("kat-serving"),
        lifespan=lifespan,
        # The pages that FastAPI serves for people load scripts from a content network.
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(BodyLimit, max_bytes=settings.metering_max_body_bytes)
    answer_with_problems(app)
    for part in (health, events, directory, tenants, prices, usage, savings, requests, exports):
        app.include_router(part.router)
    return app
