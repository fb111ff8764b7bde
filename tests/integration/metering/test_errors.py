"""Every error over HTTP is a problem (RFC 9457)."""

from __future__ import annotations

import httpx
import pytest
from sqlalchemy import Engine, text

from tests.fakes.metering import ADMIN

PROBLEM = "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "field"),
    [
        ("GET", "/v1/nothing", b"", 404, None),
        ("PUT", "/v1/tenants", b"", 405, None),
        ("POST", "/v1/tenants", b'{"id": ', 400, None),
        ("POST", "/v1/tenants", b'{"id": "\xff"}', 400, None),
        ("POST", "/v1/tenants", b"", 422, None),
        ("POST", "/v1/tenants", b'{"name": "Acme"}', 422, "id"),
        ("POST", "/v1/tenants", b"[" + b" " * 10_000_000 + b"]", 413, None),
        ("DELETE", "/v1/keys/not-a-uuid", b"", 422, "key_id"),
        # What Postgres cannot hold:
        ("GET", "/v1/tenants/%00", b"", 422, "tenant_id"),
        ("PATCH", "/v1/tenants/%00", b"{}", 422, "tenant_id"),
        ("GET", "/v1/usage?tenant=%00", b"", 422, "tenant"),
        ("GET", "/v1/exports/usage?month=2026-11&tenant=%00", b"", 422, "tenant"),
        ("POST", "/v1/tenants", b'{"id": "acme", "name": "\\ud800"}', 422, "name"),
        ("POST", "/v1/tenants", b'{"id": "acme", "name": "Acme", "\\ud800": 1}', 422, "body"),
        ("POST", "/v1/prices", b'{"prices": [], "\\ud800": 1}', 422, "prices[0].entry"),
    ],
)
async def test_every_error_is_a_problem(
    client: httpx.AsyncClient, method: str, path: str, content: bytes, status: int, field: str | None
) -> None:
    headers = {**ADMIN, "Content-Type": "application/json"}
    answer = await client.request(method, path, content=content, headers=headers)
    found = answer.json()
    assert (answer.status_code, answer.headers["content-type"], found["status"]) == (status, PROBLEM, status)
    assert found.keys() == {"type", "title", "status", "detail", "errors"}
    if field is not None:
        assert [error["field"] for error in found["errors"]] == [field]


async def test_a_wrong_method_names_the_right_ones(client: httpx.AsyncClient) -> None:
    assert (await client.put("/healthz")).headers["Allow"] == "GET"
    assert (await client.delete("/v1/tenants")).headers["Allow"] == "GET, POST"


async def test_an_unexpected_error_tells_nothing_of_the_inside(client: httpx.AsyncClient, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE tenant ADD CONSTRAINT secret_rule CHECK (name <> 'Acme')"))
    answer = await client.post("/v1/tenants", json={"id": "acme", "name": "Acme"}, headers=ADMIN)
    assert (answer.status_code, answer.headers["content-type"]) == (500, PROBLEM)
    assert "secret_rule" not in answer.text
