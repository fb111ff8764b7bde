"""The composition root of metering: settings in, application out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final

import anyio.to_thread
import httpx
import structlog
from fastapi import FastAPI
from sqlalchemy import Engine

from kat.home import kat_home
from kat_metering.alerts import Alerts
from kat_metering.api import (
    audit,
    directory,
    discounts,
    events,
    exports,
    gpu_cost,
    health,
    prices,
    requests,
    savings,
    shadow,
    statements,
    tenants,
    usage,
    webhooks,
)
from kat_metering.api.body_limit import BodyLimit
from kat_metering.api.document import document_answers
from kat_metering.api.problems import answer_with_problems
from kat_metering.api.request_ids import RequestIds
from kat_metering.api.services import Services, provide
from kat_metering.budgets import Spending
from kat_metering.console.app import console_app
from kat_metering.keeper import Keeper
from kat_metering.metrics import Metrics
from kat_metering.oidc import OidcRules, OidcVerifier
from kat_metering.settings import Settings, StoreSettings
from kat_metering.store.embedded import EmbeddedPostgres
from kat_metering.store.engine import make_engine

log = structlog.get_logger(__name__)

_HTTP_TIMEOUT_SECONDS: Final = 5.0


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


def _oidc(settings: Settings, clients: ExitStack) -> OidcVerifier | None:
    if settings.oidc_issuer is None or settings.oidc_audience is None:
        return None
    rules = OidcRules(
        issuer=settings.oidc_issuer,
        audience=settings.oidc_audience,
        algorithms=settings.oidc_algorithms,
        leeway_seconds=settings.oidc_leeway_seconds,
        roles_claim=settings.oidc_roles_claim,
        tenant_claim=settings.oidc_tenant_claim,
    )
    return OidcVerifier(rules, clients.enter_context(httpx.Client(timeout=_HTTP_TIMEOUT_SECONDS)))


def _alert_client() -> httpx.Client:
    # A redirect is not followed: the address was chosen by an administrator, where it leads to was not.
    return httpx.Client(timeout=_HTTP_TIMEOUT_SECONDS, follow_redirects=False)


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
            spending = Spending(settings.currency)
            with ExitStack() as clients:
                oidc = _oidc(settings, clients)
                provide(app, Services(settings, engine, metrics, spending, keeper, clock, oidc))
                alerts = Alerts(
                    engine,
                    spending,
                    clients.enter_context(_alert_client()),
                    settings,
                    clock,
                    metrics=metrics,
                    ready=lambda: keeper.prepared,
                )
                keeper.start()
                alerts.start()
                try:
                    yield
                finally:
                    await anyio.to_thread.run_sync(alerts.stop)
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
    app.add_middleware(RequestIds)
    answer_with_problems(app)
    for part in (
        health,
        audit,
        events,
        directory,
        tenants,
        prices,
        discounts,
        usage,
        savings,
        shadow,
        requests,
        exports,
        gpu_cost,
        statements,
        webhooks,
    ):
        app.include_router(part.router)
    document_answers(app)
    app.mount("/console", console_app(settings, app.state))
    return app
