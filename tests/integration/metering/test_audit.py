"""Every change that an administrator makes is put down, and stays put down."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from kat.usage_event import new_event_id
from tests.fakes.metering import ADMIN, SERVICE, bearer
from tests.fakes.metering_calls import deliver, got, key_of_new_tenant
from tests.fakes.usage_events import a_delivery, an_event

A_PRICE = {
    "model": "audited",
    "segment": "think",
    "mode": "any",
    "per_million": "3",
    "currency": "USD",
    "effective_from": "2026-01-01T00:00:00Z",
    "basis": "list_price",
    "source": "a test",
    "source_date": "2026-01-01",
}
A_DISCOUNT = {"percent": "10", "effective_from": "2026-01-01T00:00:00Z", "reason": "a friend"}


async def sent(client: httpx.AsyncClient, method: str, path: str, json: Any = None, **headers: str) -> httpx.Response:
    answer = await client.request(method, path, json=json, headers={**ADMIN, **headers})
    assert answer.is_success, answer.text
    return answer


async def audited(client: httpx.AsyncClient, **filters: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = (await got(client, "/v1/audit", ADMIN, **filters))["entries"]
    return entries


async def test_a_new_tenant_is_put_down_with_who_made_it(client: httpx.AsyncClient) -> None:
    await sent(client, "POST", "/v1/tenants", {"id": "acme", "name": "Acme"}, **{"X-Request-Id": "ticket-7"})
    (entry,) = await audited(client, tenant="acme")
    assert entry["before"] is None
    assert entry["after"]["name"] == "Acme"
    told = {name: entry[name] for name in ("actor", "request_id", "action", "object", "object_id", "tenant")}
    assert told == {
        "actor": "admin token",
        "request_id": "ticket-7",
        "action": "create",
        "object": "tenant",
        "object_id": "acme",
        "tenant": "acme",
    }


async def test_a_change_is_put_down_as_it_was_and_as_it_is(client: httpx.AsyncClient) -> None:
    await sent(client, "POST", "/v1/tenants", {"id": "acme", "name": "Acme", "monthly_budget": "10"})
    await sent(client, "PATCH", "/v1/tenants/acme", {"monthly_budget": "25.5", "limits": {"concurrency": 3}})
    entry = (await audited(client, tenant="acme"))[0]
    assert entry["action"] == "change"
    changed = {name for name in entry["after"] if entry["before"][name] != entry["after"][name]}
    assert changed == {"monthly_budget", "concurrency"}
    assert (entry["before"]["monthly_budget"], entry["after"]["monthly_budget"]) == ("10", "25.5")


async def test_what_changes_nothing_is_not_put_down(client: httpx.AsyncClient) -> None:
    await sent(client, "POST", "/v1/tenants", {"id": "acme", "name": "Acme"})
    await sent(client, "PATCH", "/v1/tenants/acme", {"name": "Acme"})
    await client.post("/v1/tenants", json={"id": "acme", "name": "Acme"}, headers=ADMIN)
    await client.patch("/v1/tenants/nobody", json={"name": "x"}, headers=ADMIN)
    assert len(await audited(client, tenant="acme")) == 1


async def test_every_kind_of_administrative_change_over_http_is_put_down(client: httpx.AsyncClient) -> None:
    await sent(client, "POST", "/v1/tenants", {"id": "acme", "name": "Acme"})
    key = (await sent(client, "POST", "/v1/tenants/acme/keys", {})).json()
    await sent(client, "PATCH", f"/v1/keys/{key['id']}", {"monthly_budget": "1"})
    await sent(client, "DELETE", f"/v1/keys/{key['id']}")
    hook = (await sent(client, "POST", "/v1/tenants/acme/webhooks", {"url": "https://example.com/hook"})).json()
    await sent(client, "POST", f"/v1/webhooks/{hook['id']}/secret")
    await sent(client, "DELETE", f"/v1/webhooks/{hook['id']}")
    await sent(client, "POST", "/v1/prices", [A_PRICE])
    await sent(client, "POST", "/v1/tenants/acme/discounts", [A_DISCOUNT])
    found = [(entry["object"], entry["action"]) for entry in await audited(client, actor="admin token")]
    assert found[::-1] == [
        ("tenant", "create"),
        ("api_key", "create"),
        ("api_key", "change"),
        ("api_key", "change"),
        ("webhook", "create"),
        ("webhook", "change"),
        ("webhook", "delete"),
        ("price", "create"),
        ("discount", "create"),
    ]


async def test_closing_and_adjusting_a_statement_is_put_down(
    client: httpx.AsyncClient, catch_up: Callable[[], object]
) -> None:
    last_month = datetime.now(UTC).replace(day=1) - timedelta(days=1)
    await deliver(client, an_event(at=last_month, tokens={"think": 1_000_000}))
    catch_up()
    await sent(client, "POST", "/v1/statements", {"tenant": "acme", "month": f"{last_month:%Y-%m}"})
    await sent(client, "POST", "/v1/statements/KAT-000001/adjustments", {"credit": "0.01", "reason": "slow"})
    adjusted, closed = await audited(client, tenant="acme")
    assert (closed["object"], closed["object_id"], closed["action"]) == ("statement", "KAT/1", "create")
    assert "document" not in closed["after"]
    assert (adjusted["object"], adjusted["action"], adjusted["after"]["reason"]) == ("adjustment", "create", "slow")


async def test_no_secret_is_in_the_audit(client: httpx.AsyncClient, engine: Engine) -> None:
    await sent(client, "POST", "/v1/tenants", {"id": "acme", "name": "Acme"})
    key = (await sent(client, "POST", "/v1/tenants/acme/keys", {})).json()["key"]
    hook = (await sent(client, "POST", "/v1/tenants/acme/webhooks", {"url": "https://example.com/hook"})).json()
    renewed = (await sent(client, "POST", f"/v1/webhooks/{hook['id']}/secret")).json()
    with engine.connect() as connection:
        sha256 = connection.execute(text("SELECT sha256 FROM api_key")).scalar_one()
        everything = connection.execute(text("SELECT string_agg(audit_entry::text, ' ') FROM audit_entry")).scalar_one()
    for secret in (key, sha256, hook["secret"], renewed["secret"]):
        assert secret not in everything


async def test_what_is_done_by_hand_in_sql_is_put_down_too(client: httpx.AsyncClient, engine: Engine) -> None:
    await sent(client, "POST", "/v1/tenants", {"id": "acme", "name": "Acme"})
    with engine.begin() as connection:
        user = connection.execute(text("SELECT session_user")).scalar_one()
        connection.execute(text("UPDATE tenant SET monthly_budget = 1000000"))
    entry = (await audited(client, tenant="acme"))[0]
    assert (entry["actor"], entry["request_id"], entry["action"]) == (f"database user {user}", None, "change")


async def test_a_month_that_leaves_the_database_is_put_down(client: httpx.AsyncClient, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO usage_archive (month, requests, prompt, prompt_cached, judge, think, answer, control,"
                " engine_seconds) VALUES ('2026-01-01Z', 7, 0, 0, 0, 0, 0, 0, 0)"
            )
        )
        connection.execute(text("UPDATE usage_archive SET file = 'x.parquet', sha256 = '', dropped_at = now()"))
    dropped, detached = await audited(client, object="usage_archive")
    assert (detached["action"], detached["after"]["requests"]) == ("create", "7")
    assert (dropped["action"], dropped["after"]["file"]) == ("change", "x.parquet")


async def test_a_change_that_is_rolled_back_leaves_no_entry(client: httpx.AsyncClient, engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("INSERT INTO tenant (id, name) VALUES ('acme', 'Acme')"))
        connection.rollback()
    assert await audited(client, tenant="acme") == []


@pytest.mark.parametrize("role", [None, "kat_admin", "kat_ingest", "kat_tenant"])
@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_entry SET actor = 'nobody'", "DELETE FROM audit_entry", "TRUNCATE audit_entry"],
)
async def test_nobody_changes_what_was_put_down(
    client: httpx.AsyncClient, engine: Engine, role: str | None, statement: str
) -> None:
    await sent(client, "POST", "/v1/tenants", {"id": "acme", "name": "Acme"})
    before = await audited(client)
    with engine.connect() as connection:
        if role is not None:
            connection.execute(text(f"SET LOCAL ROLE {role}"))
        with pytest.raises(DBAPIError, match=r"what is closed never changes|permission denied"):
            connection.execute(text(statement))
    assert await audited(client) == before


async def test_an_administrator_adds_no_entry_by_hand(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("SET LOCAL ROLE kat_admin"))
        with pytest.raises(DBAPIError, match="permission denied"):
            connection.execute(
                text("INSERT INTO audit_entry (actor, action, object, object_id) VALUES ('x', 'create', 'x', 'x')")
            )


async def test_the_audit_is_read_page_by_page_latest_first(client: httpx.AsyncClient) -> None:
    for number in range(5):
        await sent(client, "POST", "/v1/tenants", {"id": f"t{number}", "name": "x"})
    found: list[str] = []
    after: dict[str, str] = {}
    for size in (2, 2, 1):
        page = await got(client, "/v1/audit", ADMIN, object="tenant", limit="2", **after)
        assert len(page["entries"]) == size
        found += [entry["object_id"] for entry in page["entries"]]
        after = {"after": str(page["next"])}
    assert page["next"] is None
    assert found == ["t4", "t3", "t2", "t1", "t0"]


async def test_each_answer_names_its_request(client: httpx.AsyncClient) -> None:
    given = await client.get("/healthz", headers={"X-Request-Id": "ticket-7"})
    assert given.headers["X-Request-Id"] == "ticket-7"
    fresh = await client.get("/healthz", headers={"X-Request-Id": "two words"})
    assert UUID(fresh.headers["X-Request-Id"]).version == 7


async def test_a_predictors_deliveries_are_not_changes(
    client: httpx.AsyncClient, catch_up: Callable[[], object]
) -> None:
    await key_of_new_tenant(client, "acme")
    before = len(await audited(client))
    await client.post("/v1/events", content=a_delivery(an_event(tenant="acme")), headers=SERVICE)
    catch_up()
    assert len(await audited(client)) == before


async def test_a_tenant_does_not_see_the_audit(client: httpx.AsyncClient) -> None:
    mine = await key_of_new_tenant(client, "acme")
    assert (await client.get("/v1/audit?tenant=acme", headers=mine)).status_code == httpx.codes.FORBIDDEN
    assert (await client.get("/v1/audit", headers=bearer("nobody"))).status_code == httpx.codes.UNAUTHORIZED


AN_HOUR = {"source": "replica-1", "hour": "2026-11-01T10:00:00Z", "gpus": 2, "seconds": 1800, "gpu_hour_price": "2.5"}


@pytest.mark.parametrize(
    ("second", "put_down"),
    [
        ({"seconds": 3600}, []),
        ({"seconds": 900}, [("seconds", "1800", "900")]),
        ({"gpu_hour_price": "1"}, [("gpu_hour_price", "2.5", "1")]),
        ({"gpus": 1}, [("gpus", "2", "1")]),
    ],
    ids=["grows", "shrinks", "another price", "fewer GPUs"],
)
async def test_a_measured_hour_is_put_down_where_it_was_corrected_and_not_where_it_grows(
    client: httpx.AsyncClient, second: dict[str, Any], put_down: list[tuple[str, str, str]]
) -> None:
    await sent(client, "POST", "/v1/gpu-cost/replica-hours", [AN_HOUR])
    await sent(client, "POST", "/v1/gpu-cost/replica-hours", [{**AN_HOUR, **second}])
    entries = await audited(client, object="replica_hour")
    assert [(entry["actor"], entry["action"]) for entry in entries] == [("admin token", "change")] * len(put_down)
    found = [
        (name, entry["before"][name], entry["after"][name])
        for entry in entries
        for name in ("gpus", "seconds", "gpu_hour_price")
        if entry["before"][name] != entry["after"][name]
    ]
    assert found == put_down


@pytest.mark.parametrize(
    ("change", "action"),
    [("UPDATE shadow_sample SET tokens_ours = 1", "change"), ("DELETE FROM shadow_sample", "delete")],
)
async def test_a_shadow_sample_is_put_down_where_it_was_changed_or_taken_away(
    client: httpx.AsyncClient, engine: Engine, change: str, action: str
) -> None:
    sample = {
        "id": str(new_event_id()),
        "taken_at": "2026-11-01T10:00:00Z",
        "model": "KAT-V1-40B",
        "mode": "on",
        "task": "",
        "prompt_tokens": 10,
        "tokens_ours": 100,
        "tokens_baseline": 200,
        "latency_ours_ms": 5.0,
        "latency_baseline_ms": 9.0,
    }
    await sent(client, "POST", "/v1/shadow/samples", {"baseline": "deepseek-r1-0528", "samples": [sample]})
    assert await audited(client, object="shadow_sample") == []
    with engine.begin() as connection:
        connection.execute(text(change))
    [entry] = await audited(client, object="shadow_sample")
    assert (entry["action"], entry["object_id"], entry["before"]["tokens_ours"]) == (action, sample["id"], "100")
