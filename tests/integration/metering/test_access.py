"""Who may do what: roles in the API, row-level security in Postgres."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, func, select, text
from sqlalchemy.exc import DBAPIError

from kat_metering.store.engine import reading
from kat_metering.store.tables import tenant, usage_daily, usage_event, usage_hourly
from tests.fakes.metering import ADMIN, SERVICE, bearer
from tests.fakes.usage_events import a_delivery, an_event

ROUTES = [
    ("POST", "/v1/events", "service"),
    ("GET", "/v1/directory", "service"),
    ("POST", "/v1/tenants", "admin"),
    ("GET", "/v1/tenants", "admin"),
    ("GET", "/v1/tenants/acme", "admin"),
    ("PATCH", "/v1/tenants/acme", "admin"),
    ("POST", "/v1/tenants/acme/keys", "admin"),
    ("GET", "/v1/tenants/acme/keys", "admin"),
    ("PATCH", "/v1/keys/01a20ec1-5760-7002-93b1-cf91d5cd682e", "admin"),
    ("GET", "/v1/audit", "admin"),
    ("GET", "/v1/gpu-cost", "admin"),
    ("POST", "/v1/gpu-cost/replica-hours", "admin service"),
    ("GET", "/v1/shadow/samples", "admin tenant"),
    ("POST", "/v1/shadow/samples", "admin"),
    ("POST", "/v1/tenants/acme/webhooks", "admin"),
    ("GET", "/v1/tenants/acme/webhooks", "admin"),
    ("GET", "/v1/tenants/acme/alerts", "admin"),
    ("POST", "/v1/webhooks/01a20ec1-5760-7002-93b1-cf91d5cd682e/secret", "admin"),
    ("DELETE", "/v1/webhooks/01a20ec1-5760-7002-93b1-cf91d5cd682e", "admin"),
    ("DELETE", "/v1/keys/01a20ec1-5760-7002-93b1-cf91d5cd682e", "admin"),
    ("POST", "/v1/prices", "admin"),
    ("GET", "/v1/prices", "admin tenant"),
    ("GET", "/v1/prices/versions", "admin tenant"),
    ("GET", "/v1/prices/diff?from=1", "admin tenant"),
    ("POST", "/v1/prices/diff", "admin"),
    ("POST", "/v1/prices/rerate", "admin"),
    ("GET", "/v1/tenants/acme/discounts", "admin tenant"),
    ("POST", "/v1/tenants/acme/discounts", "admin"),
    ("GET", "/v1/statements", "admin tenant"),
    ("POST", "/v1/statements", "admin"),
    ("GET", "/v1/statements/draft?tenant=acme", "admin tenant"),
    ("GET", "/v1/statements/due?month=2026-10", "admin"),
    ("GET", "/v1/statements/verification", "admin"),
    ("GET", "/v1/statements/KAT-000001", "admin tenant"),
    ("POST", "/v1/statements/KAT-000001/adjustments", "admin"),
    ("GET", "/v1/baselines", "admin tenant"),
    ("GET", "/v1/usage", "admin tenant"),
    ("GET", "/v1/savings", "admin tenant"),
    ("GET", "/v1/savings/estimate?task=humaneval", "admin tenant"),
    ("GET", "/v1/requests/01a20ec1-5760-7002-93b1-cf91d5cd682e", "admin tenant"),
    ("GET", "/v1/exports/usage?month=2026-11&tenant=acme&format=csv", "admin tenant"),
]


WORTHLESS = [
    None,
    "",
    "Bearer",
    "Bearer wrong",
    "Bearer sk-kat-wrong",
    "Basic YWRtaW46YWRtaW4=",
    "admin-token-of-the-tests",
    "Bearer admin-token-of-the-test",
]


async def key_of(client: httpx.AsyncClient, tenant_id: str, **options: Any) -> dict[str, Any]:
    """A fresh key of a tenant that is made where it is missing."""
    await client.post("/v1/tenants", json={"id": tenant_id, "name": tenant_id}, headers=ADMIN)
    answer = await client.post(f"/v1/tenants/{tenant_id}/keys", json=options, headers=ADMIN)
    issued: dict[str, Any] = answer.raise_for_status().json()
    return issued


@pytest.mark.parametrize(("method", "path", "roles"), ROUTES)
async def test_a_route_opens_for_its_roles_only(client: httpx.AsyncClient, method: str, path: str, roles: str) -> None:
    tenant_key = bearer((await key_of(client, "acme"))["key"])
    for role, headers in {"admin": ADMIN, "service": SERVICE, "tenant": tenant_key}.items():
        status = (await client.request(method, path, headers=headers, json={})).status_code
        if role in roles.split():
            assert status not in {401, 403}, (role, status)
        else:
            assert status == httpx.codes.FORBIDDEN, (role, status)


@pytest.mark.parametrize(("method", "path", "roles"), ROUTES)
async def test_no_route_opens_without_valid_credentials(
    client: httpx.AsyncClient, method: str, path: str, roles: str
) -> None:
    for authorization in WORTHLESS:
        headers = {} if authorization is None else {"Authorization": authorization}
        answer = await client.request(method, path, headers=headers, json={})
        assert (answer.status_code, authorization) == (httpx.codes.UNAUTHORIZED, authorization)
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert answer.headers["content-type"] == "application/problem+json"


async def test_every_route_of_the_application_is_in_the_table_above(client: httpx.AsyncClient) -> None:
    described = (await client.get("/openapi.json")).json()["paths"]
    missing = {
        (method.upper(), template)
        for template, methods in described.items()
        for method in methods
        if not any(
            method.upper() == tabled and re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path.partition("?")[0])
            for tabled, path, _ in ROUTES
        )
    }
    assert missing == {("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics")}


async def test_a_revoked_key_opens_nothing(client: httpx.AsyncClient) -> None:
    issued = await key_of(client, "acme")
    assert (await client.get("/v1/usage", headers=bearer(issued["key"]))).status_code == httpx.codes.OK
    for _ in range(2):
        revoked = await client.delete(f"/v1/keys/{issued['id']}", headers=ADMIN)
        assert revoked.status_code == httpx.codes.NO_CONTENT
    assert (await client.get("/v1/usage", headers=bearer(issued["key"]))).status_code == httpx.codes.UNAUTHORIZED


async def test_a_key_opens_nothing_from_the_moment_it_expires(serve: Any) -> None:
    now = datetime.now(UTC)
    async with serve(clock=lambda: now) as client:
        issued = await key_of(client, "acme", expires_at=(now + timedelta(minutes=1)).isoformat())
        assert (await client.get("/v1/usage", headers=bearer(issued["key"]))).status_code == httpx.codes.OK
        now += timedelta(minutes=1)
        assert (await client.get("/v1/usage", headers=bearer(issued["key"]))).status_code == httpx.codes.UNAUTHORIZED


async def test_a_tenant_may_not_ask_for_another_tenants_usage(client: httpx.AsyncClient) -> None:
    mine = bearer((await key_of(client, "acme"))["key"])
    assert (await client.get("/v1/usage?tenant=acme", headers=mine)).status_code == httpx.codes.OK
    assert (await client.get("/v1/usage?tenant=globex", headers=mine)).status_code == httpx.codes.FORBIDDEN


async def test_reading_as_a_tenant_shows_its_rows_and_no_others(
    client: httpx.AsyncClient, engine: Engine, catch_up: Callable[[], object]
) -> None:
    for name in ("acme", "globex"):
        await key_of(client, name)
    events = [an_event(tenant="acme"), an_event(tenant="globex"), an_event(tenant="globex")]
    await client.post("/v1/events", content=a_delivery(*events), headers=SERVICE)
    catch_up()
    for name, count in {"acme": 1, "globex": 2, "nobody": 0}.items():
        with reading(engine, name) as connection:
            # No condition on the tenant: it is Postgres that holds the others' rows back.
            assert connection.execute(select(func.count()).select_from(usage_event)).scalar_one() == count
            for rolled_up in (usage_hourly, usage_daily):
                requests = func.coalesce(func.sum(rolled_up.c.requests), 0)
                assert connection.execute(select(requests)).scalar_one() == count
            assert connection.execute(select(tenant.c.id)).scalars().all() == [name] * (count > 0)
    with reading(engine, None) as connection:
        assert connection.execute(select(func.count()).select_from(usage_event)).scalar_one() == 3


async def test_a_connection_forgets_the_tenant_it_read_for(engine: Engine) -> None:
    for _ in range(20):
        with reading(engine, "acme") as connection:
            assert connection.execute(text("SELECT current_user")).scalar_one() == "kat_tenant"
        with engine.connect() as connection:
            user, setting = connection.execute(text("SELECT current_user, current_setting('kat.tenant', true)")).one()
            assert (user, setting or None) != ("kat_tenant", "acme")
            assert not setting


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT sha256 FROM api_key",
        "SELECT body FROM dead_letter",
        "SELECT requests FROM usage_archive",
        "INSERT INTO tenant (id, name) VALUES ('mallory', 'Mallory')",
        "DELETE FROM usage_event",
        "UPDATE price SET per_million = 0",
        "UPDATE statement SET total = 0",
        "INSERT INTO discount (tenant, percent, effective_from, reason) VALUES ('acme', 99, now(), 'mine')",
        "SELECT book FROM price_version",
        "SELECT * FROM usage_event_2026_11",
        "SELECT actor FROM audit_entry",
        "SELECT secret FROM webhook",
        "SELECT url FROM webhook",
        "SELECT body FROM budget_alert",
    ],
)
def test_the_tenants_role_reaches_nothing_else(engine: Engine, statement: str) -> None:
    statement = statement.replace("2026_11", f"{datetime.now(UTC):%Y_%m}")
    with engine.connect() as connection:
        connection.execute(text("SET LOCAL ROLE kat_tenant"))
        with pytest.raises(DBAPIError, match="permission denied"):
            connection.execute(text(statement))
