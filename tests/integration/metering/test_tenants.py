"""Tenants, keys, budgets, and the directory that predictors pull."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import Engine, select, text

from kat.directory import BudgetState, Directory, Limits, hash_api_key
from kat_metering.store.tables import api_key
from tests.fakes.metering import ADMIN, SERVICE
from tests.fakes.usage_events import a_delivery, an_event


async def make_tenant(client: httpx.AsyncClient, tenant_id: str = "acme", **options: Any) -> dict[str, Any]:
    answer = await client.post("/v1/tenants", json={"id": tenant_id, "name": "Acme", **options}, headers=ADMIN)
    assert answer.status_code == httpx.codes.CREATED, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def make_key(client: httpx.AsyncClient, tenant_id: str = "acme", **options: Any) -> dict[str, Any]:
    answer = await client.post(f"/v1/tenants/{tenant_id}/keys", json=options, headers=ADMIN)
    assert answer.status_code == httpx.codes.CREATED, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def directory_of(client: httpx.AsyncClient) -> Directory:
    return Directory.model_validate_json((await client.get("/v1/directory", headers=SERVICE)).raise_for_status().text)


async def test_a_tenant_made_with_nothing_but_a_name_has_no_limits(client: httpx.AsyncClient) -> None:
    made = await make_tenant(client)
    assert datetime.fromisoformat(made.pop("created_at")) <= datetime.now(UTC)
    assert made == {
        "id": "acme",
        "name": "Acme",
        "mode_policy": "auto",
        "max_think_tokens": None,
        "limits": {"requests_per_minute": None, "tokens_per_minute": None, "concurrency": None},
        "weight": "1",
        "monthly_budget": None,
        "think_off_at": "0.8",
        "budget": None,
    }


async def test_a_tenant_is_given_back_as_it_was_made(client: httpx.AsyncClient) -> None:
    wanted: dict[str, Any] = {
        "mode_policy": "off",
        "max_think_tokens": 4096,
        "limits": {"requests_per_minute": 60, "tokens_per_minute": 100_000, "concurrency": 4},
        "weight": "2.5",
        "monthly_budget": "1250.50",
        "think_off_at": "0.75",
    }
    made = await make_tenant(client, **wanted)
    assert {name: made[name] for name in wanted} == wanted
    assert (await client.get("/v1/tenants/acme", headers=ADMIN)).json() == made
    assert (await client.get("/v1/tenants", headers=ADMIN)).json() == {"tenants": [made], "next": None}


async def test_a_tenants_id_is_taken_once(client: httpx.AsyncClient) -> None:
    await make_tenant(client)
    again = await client.post("/v1/tenants", json={"id": "acme", "name": "Another"}, headers=ADMIN)
    assert again.status_code == httpx.codes.CONFLICT
    assert again.json()["errors"] == [{"field": "id", "message": "is taken"}]
    assert (await client.get("/v1/tenants/acme", headers=ADMIN)).json()["name"] == "Acme"


async def test_a_change_leaves_alone_what_it_does_not_name(client: httpx.AsyncClient) -> None:
    limits = {"requests_per_minute": 60, "tokens_per_minute": 1_000, "concurrency": 4}
    before = await make_tenant(client, monthly_budget="10", limits=limits, max_think_tokens=5)
    change = {"mode_policy": "on", "limits": {"concurrency": 8, "tokens_per_minute": None}, "max_think_tokens": None}
    after = (await client.patch("/v1/tenants/acme", json=change, headers=ADMIN)).json()
    assert after == {
        **before,
        "mode_policy": "on",
        "max_think_tokens": None,
        "limits": {"requests_per_minute": 60, "tokens_per_minute": None, "concurrency": 8},
    }


async def test_null_takes_a_budget_away(client: httpx.AsyncClient) -> None:
    await make_tenant(client, monthly_budget="10")
    after = (await client.patch("/v1/tenants/acme", json={"monthly_budget": None}, headers=ADMIN)).json()
    assert (after["monthly_budget"], after["budget"]) == (None, None)


async def test_an_empty_change_changes_nothing(client: httpx.AsyncClient) -> None:
    before = await make_tenant(client)
    assert (await client.patch("/v1/tenants/acme", json={}, headers=ADMIN)).json() == before


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"id": "Acme Corp"}, "id"),
        ({"id": "-acme"}, "id"),
        ({"id": "a" * 64}, "id"),
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"mode_policy": "sometimes"}, "mode_policy"),
        ({"max_think_tokens": -1}, "max_think_tokens"),
        ({"max_think_tokens": 2**70}, "max_think_tokens"),
        ({"limits": {"concurrency": 0}}, "limits.concurrency"),
        ({"limits": {"burst": 1}}, "limits.burst"),
        ({"weight": 0}, "weight"),
        ({"weight": 100.5}, "weight"),
        ({"weight": None}, "weight"),
        ({"weight": "NaN"}, "weight"),
        ({"monthly_budget": "-1"}, "monthly_budget"),
        ({"monthly_budget": "1e400"}, "monthly_budget"),
        ({"monthly_budget": "NaN"}, "monthly_budget"),
        ({"think_off_at": 1.5}, "think_off_at"),
        ({"budget": "10"}, "budget"),
    ],
)
async def test_a_value_that_cannot_be_is_refused_by_name(
    client: httpx.AsyncClient, change: dict[str, Any], field: str
) -> None:
    answer = await client.post("/v1/tenants", json={"id": "acme", "name": "Acme", **change}, headers=ADMIN)
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert field in answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/tenants/nobody"),
        ("PATCH", "/v1/tenants/nobody"),
        ("GET", "/v1/tenants/nobody/keys"),
        ("POST", "/v1/tenants/nobody/keys"),
        ("DELETE", f"/v1/keys/{UUID(int=1)}"),
    ],
)
@pytest.mark.parametrize("body", [{}, {"name": "x"}], ids=["empty", "a name"])
async def test_what_is_not_there_is_not_found(
    client: httpx.AsyncClient, method: str, path: str, body: dict[str, str]
) -> None:
    answer = await client.request(method, path, json=body, headers=ADMIN)
    assert answer.status_code == httpx.codes.NOT_FOUND
    assert answer.json()["title"] == "Not Found"


async def test_a_key_is_shown_once_and_stored_as_a_hash(client: httpx.AsyncClient, engine: Engine) -> None:
    await make_tenant(client)
    issued = await make_key(client, name="ci", project="search")
    key = issued.pop("key")
    assert key.startswith("sk-kat-")
    assert key.startswith(issued["prefix"])
    assert (await client.get("/v1/tenants/acme/keys", headers=ADMIN)).json() == {"keys": [issued], "next": None}
    with engine.connect() as connection:
        row = connection.execute(select(api_key)).mappings().one()
        everything = connection.execute(text("SELECT api_key::text FROM api_key")).scalar_one()
    assert row["sha256"] == hash_api_key(key)
    assert key not in everything


async def test_a_key_that_would_be_expired_already_is_refused(client: httpx.AsyncClient) -> None:
    await make_tenant(client)
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    answer = await client.post("/v1/tenants/acme/keys", json={"expires_at": past}, headers=ADMIN)
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert answer.json()["errors"][0]["field"] == "expires_at"


async def test_the_directory_holds_tenants_and_the_keys_that_are_not_revoked(client: httpx.AsyncClient) -> None:
    await make_tenant(client, mode_policy="off", max_think_tokens=9, limits={"concurrency": 2})
    kept, revoked = await make_key(client, project="search"), await make_key(client)
    await client.delete(f"/v1/keys/{revoked['id']}", headers=ADMIN)
    directory = await directory_of(client)
    (tenant,) = directory.tenants
    assert (tenant.id, tenant.name, tenant.mode_policy, tenant.max_think_tokens) == ("acme", "Acme", "off", 9)
    assert tenant.limits == Limits(concurrency=2)
    (key,) = directory.keys
    assert (key.id, key.tenant, key.project) == (UUID(kept["id"]), "acme", "search")
    assert key.sha256 == hash_api_key(kept["key"])


async def test_a_changed_weight_reaches_the_directory(client: httpx.AsyncClient) -> None:
    await make_tenant(client)
    (before,) = (await directory_of(client)).tenants
    await client.patch("/v1/tenants/acme", json={"weight": 4}, headers=ADMIN)
    (after,) = (await directory_of(client)).tenants
    assert (before.weight, after.weight) == (Decimal(1), Decimal(4))


async def test_the_directorys_etag_changes_with_its_content_only(client: httpx.AsyncClient) -> None:
    await make_tenant(client)
    first = await client.get("/v1/directory", headers=SERVICE)
    etag = first.headers["ETag"]
    unchanged = await client.get("/v1/directory", headers={**SERVICE, "If-None-Match": etag})
    assert (unchanged.status_code, unchanged.content, unchanged.headers["ETag"]) == (304, b"", etag)
    await make_key(client)
    changed = await client.get("/v1/directory", headers={**SERVICE, "If-None-Match": etag})
    assert changed.status_code == httpx.codes.OK
    assert changed.headers["ETag"] != etag


@pytest.mark.parametrize(
    ("think", "state"),
    [(999_999, BudgetState.OK), (1_000_000, BudgetState.THINK_OFF), (2_000_000, BudgetState.EXHAUSTED)],
)
async def test_usage_moves_a_budget_through_its_states(
    client: httpx.AsyncClient, catch_up: Callable[[], object], think: int, state: BudgetState
) -> None:
    price = {
        "model": "priced", "segment": "think", "per_million": "3.00", "currency": "USD", "basis": "compute",
        "effective_from": "2026-01-01T00:00:00Z", "source": "a test", "source_date": "2026-01-01",
    }  # fmt: skip
    imported = await client.post("/v1/prices", json={"prices": [price]}, headers=ADMIN)
    assert imported.is_success, imported.text
    await make_tenant(client, monthly_budget="6.00", think_off_at="0.5")
    assert (await directory_of(client)).tenants[0].budget is not None
    month = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    tokens = {"think": think, "answer": 5}
    events = [
        an_event(model="priced", tokens=tokens),
        an_event(model="priced", tokens=tokens, at=month - timedelta(milliseconds=1)),
        an_event(model="priced", tokens=tokens, tenant="globex"),
    ]
    await client.post("/v1/events", content=a_delivery(*events), headers=SERVICE)
    catch_up()
    budget = (await directory_of(client)).tenants[0].budget
    assert budget is not None
    assert (budget.state, budget.spent) == (state, Decimal(think) * 3 / 1_000_000)
    assert (budget.monthly, budget.currency, budget.think_off_at) == (Decimal(6), "USD", Decimal("0.5"))


async def test_a_changed_budget_shows_at_once(client: httpx.AsyncClient) -> None:
    await make_tenant(client, monthly_budget="6.00")
    await directory_of(client)
    await client.patch("/v1/tenants/acme", json={"monthly_budget": "0"}, headers=ADMIN)
    budget = (await directory_of(client)).tenants[0].budget
    assert budget is not None
    assert budget.state is BudgetState.EXHAUSTED
