"""No tenant sees another's rows: tried through every route, and in SQL as each of the roles."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from kat_metering.store.engine import reading
from tests.fakes.metering import ADMIN, bearer
from tests.fakes.metering_calls import deliver
from tests.fakes.usage_events import an_event

NOW = datetime.now(UTC)
LAST_MONTH = NOW.replace(day=1) - timedelta(days=1)
MARK = "globex"


@dataclass(frozen=True)
class Neighbours:
    """acme, and globex with everything a tenant can have."""

    client: httpx.AsyncClient
    acme: dict[str, str]
    globex: dict[str, str]
    parameters: dict[str, str]
    """What to ask a route for, to be shown something of globex, by the name of the parameter."""


async def _made(client: httpx.AsyncClient, path: str, body: Any) -> dict[str, Any]:
    answer = await client.post(path, json=body, headers=ADMIN)
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.fixture
async def neighbours(client: httpx.AsyncClient, catch_up: Callable[[], object]) -> Neighbours:
    keys = {}
    for name in ("acme", MARK):
        await _made(client, "/v1/tenants", {"id": name, "name": name, "monthly_budget": "1"})
        keys[name] = await _made(client, f"/v1/tenants/{name}/keys", {"project": f"{name}-project"})
    event = an_event(tenant=MARK, project=f"{MARK}-project", api_key_id=keys[MARK]["id"])
    last_month = an_event(tenant=MARK, project=f"{MARK}-project", at=LAST_MONTH, tokens={"think": 1_000_000})
    await deliver(client, event, last_month)
    catch_up()
    discount = {"percent": "10", "effective_from": "2026-01-01T00:00:00Z", "reason": f"{MARK} is a friend"}
    await _made(client, f"/v1/tenants/{MARK}/discounts", [discount])
    hook = await _made(client, f"/v1/tenants/{MARK}/webhooks", {"url": f"https://{MARK}.example/hook"})
    await _made(client, "/v1/statements", {"tenant": MARK, "month": f"{LAST_MONTH:%Y-%m}"})
    await _made(client, "/v1/statements/KAT-000001/adjustments", {"credit": "0.01", "reason": MARK})
    return Neighbours(
        client,
        acme=bearer(keys["acme"]["key"]),
        globex=bearer(keys[MARK]["key"]),
        parameters={
            "tenant": MARK,
            "tenant_id": MARK,
            "event_id": event["id"],
            "key_id": keys[MARK]["id"],
            "webhook_id": hook["id"],
            "name": "KAT-000001",
            "month": f"{NOW:%Y-%m}",
            "task": "humaneval",
            "from": "1",
            "baseline": "DeepSeek-R1-0528",
        },
    )


async def _asked(neighbours: Neighbours, headers: dict[str, str], *, by_name: bool) -> dict[str, httpx.Response]:
    """Every GET of the application, asked for what globex has; `by_name` with the optional parameter `tenant` too."""
    paths = (await neighbours.client.get("/openapi.json")).json()["paths"]
    answers = {}
    for template, methods in paths.items():
        if "get" not in methods or not template.startswith("/v1/"):
            continue
        path = re.sub(r"{(\w+)}", lambda match: neighbours.parameters[match[1]], template)
        declared = [each for each in methods["get"].get("parameters", []) if each["in"] == "query"]
        wanted = {each["name"] for each in declared if each["required"] or (by_name and each["name"] == "tenant")}
        parameters = {name: neighbours.parameters[name] for name in wanted if name in neighbours.parameters}
        answers[template] = await neighbours.client.get(path, params=parameters, headers=headers)
    return answers


@pytest.mark.parametrize("by_name", [False, True])
async def test_no_route_shows_a_tenant_anything_of_another(neighbours: Neighbours, by_name: bool) -> None:
    for template, answer in (await _asked(neighbours, neighbours.acme, by_name=by_name)).items():
        assert MARK.encode() not in answer.content, template


async def test_the_same_requests_show_it_to_its_owner(neighbours: Neighbours) -> None:
    answers = await _asked(neighbours, neighbours.globex, by_name=True)
    shown = {template for template, answer in answers.items() if MARK.encode() in answer.content}
    assert {
        "/v1/usage",
        "/v1/statements",
        "/v1/statements/{name}",
        "/v1/statements/draft",
        "/v1/requests/{event_id}",
        "/v1/tenants/{tenant_id}/discounts",
    } <= shown


async def test_in_sql_a_tenant_reads_no_row_of_another_in_any_table(neighbours: Neighbours, engine: Engine) -> None:
    readable = _readable(engine)
    for table, columns in readable.items():
        with reading(engine, "acme") as connection:
            rows = connection.execute(text(f"SELECT concat_ws(' ', {', '.join(columns)}) FROM {table}")).scalars()
            assert [row for row in rows if MARK in row] == [], table
    assert {"tenant", "usage_event", "usage_hourly", "usage_daily", "statement", "discount"} <= set(readable)


async def test_in_sql_the_owner_of_the_rows_reads_them(neighbours: Neighbours, engine: Engine) -> None:
    for table in ("tenant", "usage_event", "usage_hourly", "usage_daily", "statement", "adjustment", "discount"):
        with reading(engine, MARK) as connection:
            rows = connection.execute(text(f"SELECT t::text FROM {table} t")).scalars().all()
        assert rows, table
        assert all(MARK in row for row in rows), table


async def test_without_a_tenants_name_its_role_reads_no_tenants_row(neighbours: Neighbours, engine: Engine) -> None:
    for table in ("tenant", "usage_event", "usage_hourly", "usage_daily", "statement", "adjustment", "discount"):
        with engine.connect() as connection:
            connection.execute(text("SET LOCAL ROLE kat_tenant"))
            assert connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() == 0, table


def _readable(engine: Engine) -> dict[str, list[str]]:
    """The columns that the tenants' role may read, by table."""
    found: dict[str, list[str]] = {}
    with engine.connect() as connection:
        for table, column in connection.execute(
            text(
                "SELECT relname, attname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid"
                " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND attnum > 0"
                " AND NOT attisdropped AND has_column_privilege('kat_tenant', attrelid, attnum, 'SELECT')"
            )
        ):
            found.setdefault(table, []).append(f'"{column}"')
    return found


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT name FROM tenant",
        "SELECT sha256 FROM api_key",
        "SELECT per_million FROM price",
        "SELECT total FROM statement",
        "SELECT requests FROM usage_hourly",
        "SELECT actor FROM audit_entry",
        "SELECT body FROM dead_letter",
        "UPDATE usage_event SET think = 0",
        "DELETE FROM usage_event",
        "DELETE FROM dead_letter",
        "TRUNCATE usage_event",
        "INSERT INTO usage_hourly SELECT * FROM usage_hourly",
    ],
)
def test_the_role_that_stores_events_does_nothing_else(engine: Engine, statement: str) -> None:
    with engine.connect() as connection:
        connection.execute(text("SET LOCAL ROLE kat_ingest"))
        with pytest.raises(DBAPIError, match="permission denied"):
            connection.execute(text(statement))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE usage_event SET think = 0",
        "INSERT INTO usage_event SELECT * FROM usage_event",
        "DELETE FROM usage_hourly",
        "UPDATE usage_daily SET think = 0",
        "UPDATE rollup_state SET revision = 0",
        "UPDATE statement SET total = 0",
        "DELETE FROM adjustment",
        "DELETE FROM dead_letter",
        "UPDATE usage_archive SET requests = 0",
        "UPDATE budget_alert SET acknowledged_at = now()",
        "DROP TRIGGER audit ON tenant",
        "ALTER TABLE tenant DISABLE TRIGGER audit",
        "SET session_replication_role = replica",
    ],
)
def test_the_administrators_role_changes_no_usage_and_nothing_that_is_closed(engine: Engine, statement: str) -> None:
    with engine.connect() as connection:
        connection.execute(text("SET LOCAL ROLE kat_admin"))
        with pytest.raises(DBAPIError, match=r"permission denied|must be owner"):
            connection.execute(text(statement))


async def test_deliveries_are_stored_where_the_ingests_role_is_bound_by_row_level_security(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    events = [an_event(), an_event()]
    with engine.begin() as connection:
        connection.execute(text("ALTER ROLE kat_ingest NOBYPASSRLS"))
    try:
        await deliver(client, *events)
    finally:
        with engine.begin() as connection:
            connection.execute(text("ALTER ROLE kat_ingest BYPASSRLS"))
    with reading(engine, None) as connection:
        assert connection.execute(text("SELECT count(*) FROM usage_event")).scalar_one() == len(events)


async def test_an_administrators_request_leaves_its_role_behind(client: httpx.AsyncClient, engine: Engine) -> None:
    for _ in range(3):
        assert (await client.get("/v1/tenants", headers=ADMIN)).status_code == httpx.codes.OK
    with engine.connect() as connection:
        user, owner, actor = connection.execute(
            text("SELECT current_user, session_user, current_setting('kat.actor', true)")
        ).one()
    assert (user, actor or None) == (owner, None)
