"""What a browser does with the console, without one."""

from __future__ import annotations

import re
from typing import Any

import httpx

from tests.fakes.metering import ADMIN

_FORM_TOKEN = re.compile(r'name="form_token" value="([^"]+)"')


async def signed_in(client: httpx.AsyncClient, token: str) -> None:
    """The client has a session of its own from here on."""
    answer = await client.post("/console/sign-in", data={"token": token})
    assert answer.status_code == httpx.codes.SEE_OTHER, answer.text


async def form_token(client: httpx.AsyncClient) -> str:
    """What the session's forms carry."""
    found = _FORM_TOKEN.search((await client.get("/console/exports")).text)
    assert found
    return found[1]


async def key_of(client: httpx.AsyncClient, tenant: str, **more: Any) -> dict[str, Any]:
    """A fresh key of a tenant made here."""
    made = await client.post("/v1/tenants", json={"id": tenant, "name": tenant, **more}, headers=ADMIN)
    assert made.status_code == httpx.codes.CREATED, made.text
    issued = await client.post(f"/v1/tenants/{tenant}/keys", json={}, headers=ADMIN)
    assert issued.status_code == httpx.codes.CREATED, issued.text
    key: dict[str, Any] = issued.json()
    return key
