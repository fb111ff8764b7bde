"""A token is replaced by having two for a while: nobody is turned away, and no event is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from sqlalchemy import Engine, func, select

from kat_metering.store.tables import usage_event
from kat_predictor.delivery import Delivery
from kat_predictor.metrics import Metrics
from kat_predictor.outbox import Outbox
from tests.fakes.metering import bearer
from tests.fakes.outbox import put

OLD, NEW = "the-token-before-the-rotation", "the-token-after-the-rotation"
ROUTES = {"admin": "/v1/tenants", "service": "/v1/directory"}
WAIT_SECONDS = 60

kinds = pytest.mark.parametrize("kind", ROUTES)


def taking(kind: str, token: str, *further: str) -> dict[str, Any]:
    """The settings of a service that takes these tokens."""
    return {
        f"{kind}_token": SecretStr(token),
        f"further_{kind}_tokens": tuple(SecretStr(each) for each in further),
    }


async def status(client: httpx.AsyncClient, kind: str, token: str) -> int:
    return (await client.get(ROUTES[kind], headers=bearer(token))).status_code


@kinds
async def test_the_old_and_the_new_token_are_taken_side_by_side(serve: Any, kind: str) -> None:
    async with serve(**taking(kind, NEW, OLD)) as client:
        assert [await status(client, kind, token) for token in (OLD, NEW)] == [httpx.codes.OK] * 2


@kinds
async def test_a_token_that_was_taken_out_is_refused(serve: Any, kind: str) -> None:
    async with serve(**taking(kind, NEW)) as client:
        assert await status(client, kind, OLD) == httpx.codes.UNAUTHORIZED


async def test_a_further_token_of_predictors_opens_nothing_of_administrators(serve: Any) -> None:
    async with serve(**taking("service", NEW, OLD)) as client:
        assert await status(client, "admin", OLD) == httpx.codes.FORBIDDEN


@asynccontextmanager
async def sending(outbox: Outbox, client: httpx.AsyncClient, token: str) -> AsyncIterator[Delivery]:
    """A predictor's sender at work."""
    delivery = Delivery(
        outbox=outbox,
        client=client,
        token=SecretStr(token),
        metrics=Metrics(CollectorRegistry()),
        first_pause_seconds=0.01,
    )
    running = asyncio.create_task(delivery.run())
    try:
        yield delivery
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def an_outbox(folder: Path) -> AsyncIterator[Outbox]:
    outbox = await Outbox.open(folder, max_events=1_000)
    try:
        yield outbox
    finally:
        await outbox.close()


def stored(engine: Engine) -> dict[UUID, int]:
    """How often each event is stored."""
    with engine.connect() as connection:
        rows = connection.execute(select(usage_event.c.id, func.count()).group_by(usage_event.c.id))
        return {event_id: times for event_id, times in rows}  # noqa: C416 - a row is no pair to mypy


async def test_events_of_predictors_with_either_token_arrive_during_a_rotation_once_each(
    serve: Any, engine: Engine, tmp_path: Path
) -> None:
    async with (
        serve(**taking("service", OLD, NEW)) as client,
        an_outbox(tmp_path / "not-yet") as not_yet,
        an_outbox(tmp_path / "rolled") as rolled,
        sending(not_yet, client, OLD) as before,
        sending(rolled, client, NEW) as after,
    ):
        sent = [*await put(not_yet, count=20), *await put(rolled, count=20)]
        left = [await each.drain(WAIT_SECONDS) for each in (before, after)]

    assert (left, stored(engine)) == ([0, 0], {event.id: 1 for event in sent})


async def test_events_of_a_predictor_that_was_forgotten_wait_until_it_has_the_new_token(
    serve: Any, engine: Engine, tmp_path: Path
) -> None:
    refused = asyncio.Event()

    async def look(answer: httpx.Response) -> None:
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            refused.set()

    async with serve(**taking("service", NEW)) as client, an_outbox(tmp_path) as outbox:
        client.event_hooks["response"].append(look)
        sent = await put(outbox, count=20)
        async with sending(outbox, client, OLD), asyncio.timeout(WAIT_SECONDS):
            await refused.wait()
        kept = outbox.events
        async with sending(outbox, client, NEW) as delivery:
            left = await delivery.drain(WAIT_SECONDS)

    assert (kept, left, stored(engine)) == (20, 0, {event.id: 1 for event in sent})
