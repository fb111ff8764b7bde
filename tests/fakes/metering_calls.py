"""Calls to the metering service that tests of reports begin with."""

from __future__ import annotations

from typing import Any

import httpx

from tests.fakes.metering import ADMIN, SERVICE, bearer
from tests.fakes.usage_events import a_delivery


async def deliver(client: httpx.AsyncClient, *events: object) -> None:
    """Events, all of them new and taken in."""
    answer = await client.post(
        "/v1/events",
        content=a_delivery(*events),
        headers={**SERVICE, "Content-Type": "application/cloudevents-batch+json"},
    )
    assert answer.json() == {"new": len(events), "duplicate": 0, "rejected": 0, "rejections": []}, answer.text


async def key_of_new_tenant(client: httpx.AsyncClient, tenant: str) -> dict[str, str]:
    """The headers of a key of a tenant made here."""
    made = await client.post("/v1/tenants", json={"id": tenant, "name": tenant}, headers=ADMIN)
    assert made.status_code == httpx.codes.CREATED, made.text
    key = await client.post(f"/v1/tenants/{tenant}/keys", json={}, headers=ADMIN)
    assert key.status_code == httpx.codes.CREATED, key.text
    return bearer(key.json()["key"])


async def got(client: httpx.AsyncClient, path: str, headers: dict[str, str] = ADMIN, **params: str) -> Any:
    """The JSON of a GET that succeeds. `start` and `end` stand for `from` and `to`."""
    names = {"start": "from", "end": "to"}
    answer = await client.get(path, headers=headers, params={names.get(name, name): v for name, v in params.items()})
    assert answer.status_code == httpx.codes.OK, answer.text
    return answer.json()
