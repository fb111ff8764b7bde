"""A database that answers slowly, or whose answer is lost, makes deliveries slow or repeated, never wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import URL, Engine, func, select

from kat_metering.store.tables import usage_event
from tests.fakes.metering import SERVICE
from tests.fakes.slow_proxy import SlowProxy
from tests.fakes.usage_events import a_delivery, an_event

MORE_THAN_CONNECTIONS = 15
BOUND_SECONDS = 20
WAIT_SECONDS = 60


@pytest.fixture
async def proxy(server: URL) -> AsyncIterator[SlowProxy]:
    async with SlowProxy(server) as proxy:
        yield proxy


@pytest.fixture
async def client(proxy: SlowProxy, serve: Any, engine: Engine) -> AsyncIterator[httpx.AsyncClient]:
    """The application, which reaches its database by way of the proxy."""
    async with serve(database_url=SecretStr(proxy.url(engine.url.database))) as client:
        yield client


def stored(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(usage_event)).scalar_one()


async def send(client: httpx.AsyncClient, body: bytes) -> httpx.Response:
    return await client.post("/v1/events", content=body, headers=SERVICE)


async def test_deliveries_wait_for_slow_answers_and_count_once(
    client: httpx.AsyncClient, proxy: SlowProxy, engine: Engine
) -> None:
    bodies = [a_delivery(*(an_event() for _ in range(10))) for _ in range(6)]
    proxy.delay = 0.05
    answers = await asyncio.gather(*(send(client, body) for body in bodies * 2))
    assert {answer.status_code for answer in answers} == {httpx.codes.OK}
    assert sum(answer.json()["new"] for answer in answers) == 60
    assert sum(answer.json()["duplicate"] for answer in answers) == 60
    assert stored(engine) == 60


async def test_a_delivery_whose_commit_was_not_confirmed_is_not_acknowledged_and_counts_once_when_sent_again(
    proxy: SlowProxy, serve: Any, engine: Engine
) -> None:
    body = a_delivery(an_event(), an_event())
    url = SecretStr(proxy.url(engine.url.database))
    # The roll-up commits as well, and the answer that is lost must not be its own.
    async with serve(database_url=url, rollup_interval_seconds=3_600) as client:
        proxy.lose_answer_to = b"COMMIT"
        assert (await send(client, body)).status_code == httpx.codes.SERVICE_UNAVAILABLE
        assert stored(engine) == 2
        again = (await send(client, body)).json()
    assert (again["new"], again["duplicate"]) == (0, 2)
    assert stored(engine) == 2


@pytest.mark.parametrize("at", [None, b"COPY", b"COMMIT"], ids=["idle", "copy", "commit"])
async def test_a_database_that_falls_silent_is_a_503_within_a_bound_and_nothing_is_lost(
    proxy: SlowProxy, serve: Any, engine: Engine, at: bytes | None
) -> None:
    """The connections stay, and the kernel's time-outs see nothing wrong: the other end of each is well."""
    bodies = [a_delivery(an_event()) for _ in range(MORE_THAN_CONNECTIONS)]
    url = SecretStr(proxy.url(engine.url.database))
    async with serve(database_url=url, database_timeout_seconds=0.5, rollup_interval_seconds=3_600) as client:
        if at is None:
            proxy.fall_silent()
        else:
            proxy.silent_at = at
        async with asyncio.timeout(BOUND_SECONDS):
            answers = await asyncio.gather(*(send(client, body) for body in bodies))
        assert proxy.silent
        refused = [answer for answer in answers if answer.status_code != httpx.codes.OK]
        assert refused
        assert {(each.status_code, each.headers.get("Retry-After")) for each in refused} == {(503, "1")}

        proxy.speak()
        async with asyncio.timeout(WAIT_SECONDS):
            for body in bodies:
                while (await send(client, body)).status_code != httpx.codes.OK:
                    pass
        assert stored(engine) == len(bodies)
