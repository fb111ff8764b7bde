"""Statements asked for over HTTP, of the month before this one and its neighbours."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.fakes.metering import ADMIN

CatchUp = Callable[[], Any]

THIS_MONTH = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
LAST_MONTH = (THIS_MONTH - timedelta(days=1)).replace(day=1)
MONTH_BEFORE = (LAST_MONTH - timedelta(days=1)).replace(day=1)
LAST, BEFORE, THIS = (f"{month:%Y-%m}" for month in (LAST_MONTH, MONTH_BEFORE, THIS_MONTH))

# At the default prices: prompt 0.04, the others 0.10 USD per million.
MILLION_THOUGHTS = {"think": 1_000_000}
THIRD_OF_A_CENT = {"think": 33_333}


async def closed(client: httpx.AsyncClient, month: str = LAST, tenant: str = "acme", **more: Any) -> httpx.Response:
    return await client.post("/v1/statements", json={"tenant": tenant, "month": month, **more}, headers=ADMIN)


async def close_it(client: httpx.AsyncClient, month: str = LAST, tenant: str = "acme", **more: Any) -> dict[str, Any]:
    answer = await closed(client, month, tenant, **more)
    assert answer.status_code == httpx.codes.CREATED, answer.text
    statement: dict[str, Any] = answer.json()
    return statement


def kinds(statement: dict[str, Any]) -> list[str]:
    return [line["kind"] for line in statement["lines"]]
