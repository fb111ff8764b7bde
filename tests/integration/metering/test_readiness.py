"""A service lives without its database, and is ready with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import URL

from kat_metering.main import create_app
from kat_metering.settings import Settings
from kat_metering.store.engine import make_engine
from kat_metering.store.schema import upgrade_schema
from tests.fakes.metering import ADMIN, SERVICE
from tests.fakes.usage_events import a_delivery, an_event

PROBLEM = "application/problem+json"


@pytest.fixture
async def homeless(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """The application without its database."""
    nowhere = settings.model_copy(update={"database_url": SecretStr("postgresql://kat@127.0.0.1:1/kat")})
    app = create_app(nowhere)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://metering") as client,
    ):
        yield client


async def test_without_its_database_the_service_lives_and_acknowledges_nothing(homeless: httpx.AsyncClient) -> None:
    assert (await homeless.get("/healthz")).status_code == httpx.codes.OK
    assert (await homeless.get("/metrics")).status_code == httpx.codes.OK
    for answer in (
        await homeless.get("/readyz"),
        await homeless.post("/v1/events", content=a_delivery(an_event()), headers=SERVICE),
        await homeless.get("/v1/directory", headers=SERVICE),
        await homeless.get("/v1/usage", headers=ADMIN),
    ):
        assert (answer.status_code, answer.headers["content-type"]) == (503, PROBLEM)
        assert answer.headers["Retry-After"] == "1"


async def test_a_service_that_may_not_migrate_waits_for_the_schema(settings: Settings, empty_database: URL) -> None:
    url = empty_database.render_as_string(hide_password=False)
    app = create_app(settings.model_copy(update={"database_url": SecretStr(url), "metering_migrate": False}))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://metering") as client,
    ):
        assert (await client.get("/readyz")).status_code == httpx.codes.SERVICE_UNAVAILABLE
        refused = await client.post("/v1/events", content=a_delivery(an_event()), headers=SERVICE)
        assert refused.status_code == httpx.codes.SERVICE_UNAVAILABLE
        engine = make_engine(url, connections=3, timeout_seconds=60)
        await asyncio.to_thread(upgrade_schema, engine)
        engine.dispose()
        async with asyncio.timeout(60):
            while (await client.get("/readyz")).status_code != httpx.codes.OK:  # noqa: ASYNC110 - readiness is polled
                await asyncio.sleep(0.01)


async def test_the_rollup_runs_by_itself_and_its_lag_is_told(client: httpx.AsyncClient) -> None:
    def lag(metrics: str) -> float:
        (line,) = [line for line in metrics.splitlines() if line.startswith("kat_metering_rollup_lag_seconds ")]
        return float(line.split()[1])

    await client.post("/v1/events", content=a_delivery(an_event()), headers=SERVICE)
    async with asyncio.timeout(60):
        while (await client.get("/v1/usage", headers=ADMIN)).json()["totals"]["requests"] != 1:  # noqa: ASYNC110 - polled
            await asyncio.sleep(0.01)
    assert 0 <= lag((await client.get("/metrics")).text) < 60
