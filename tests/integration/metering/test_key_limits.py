"""Limits and budgets of an API key, beside those of its tenant."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest

from kat.directory import ApiKey, BudgetState, Directory, Limits
from tests.fakes.metering import ADMIN, SERVICE
from tests.fakes.metering_calls import deliver
from tests.fakes.usage_events import an_event

TENTH = {"think": 1_000_000}
"""Tokens that cost 0.10 USD."""


@pytest.fixture
async def acme(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """A service with the tenant acme."""
    made = await client.post("/v1/tenants", json={"id": "acme", "name": "Acme"}, headers=ADMIN)
    assert made.status_code == httpx.codes.CREATED
    return client


async def new_key(client: httpx.AsyncClient, **options: Any) -> dict[str, Any]:
    answer = await client.post("/v1/tenants/acme/keys", json=options, headers=ADMIN)
    assert answer.status_code == httpx.codes.CREATED, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def in_directory(client: httpx.AsyncClient, key: dict[str, Any]) -> ApiKey:
    answer = (await client.get("/v1/directory", headers=SERVICE)).raise_for_status()
    return next(each for each in Directory.model_validate_json(answer.content).keys if str(each.id) == key["id"])


async def changed(client: httpx.AsyncClient, key: dict[str, Any], **changes: Any) -> dict[str, Any]:
    answer = await client.patch(f"/v1/keys/{key['id']}", json=changes, headers=ADMIN)
    assert answer.status_code == httpx.codes.OK, answer.text
    after: dict[str, Any] = answer.json()
    return after


async def test_a_key_has_no_limits_of_its_own_unless_it_is_given_some(acme: httpx.AsyncClient) -> None:
    key = await new_key(acme)
    assert key["limits"] == {"requests_per_minute": None, "tokens_per_minute": None, "concurrency": None}
    assert (key["monthly_budget"], key["budget"]) == (None, None)
    found = await in_directory(acme, key)
    assert (found.limits, found.budget) == (Limits(), None)


async def test_limits_that_a_key_is_made_with_reach_the_directory(acme: httpx.AsyncClient) -> None:
    key = await new_key(acme, limits={"concurrency": 2, "tokens_per_minute": 100}, monthly_budget="5")
    found = await in_directory(acme, key)
    assert found.limits == Limits(concurrency=2, tokens_per_minute=100)
    assert found.budget is not None
    assert (found.budget.monthly, found.budget.state) == (Decimal(5), BudgetState.OK)


async def test_a_change_of_a_key_leaves_alone_what_it_does_not_name(acme: httpx.AsyncClient) -> None:
    key = await new_key(acme, name="ci", limits={"concurrency": 2, "tokens_per_minute": 100}, monthly_budget="5")
    after = await changed(acme, key, limits={"concurrency": None}, think_off_at="0.5")
    assert after["limits"] == {"requests_per_minute": None, "tokens_per_minute": 100, "concurrency": None}
    assert (after["name"], after["monthly_budget"], after["think_off_at"]) == ("ci", "5", "0.5")
    assert (await in_directory(acme, key)).limits == Limits(tokens_per_minute=100)


async def test_an_empty_change_of_a_key_changes_nothing(acme: httpx.AsyncClient) -> None:
    key = await new_key(acme, limits={"concurrency": 2})
    del key["key"]
    assert await changed(acme, key) == key


async def test_null_takes_a_keys_budget_away(acme: httpx.AsyncClient) -> None:
    key = await new_key(acme, monthly_budget="0")
    assert (await changed(acme, key, monthly_budget=None))["budget"] is None
    assert (await in_directory(acme, key)).budget is None


@pytest.mark.parametrize(
    ("budget", "state"),
    [("1", BudgetState.OK), ("0.125", BudgetState.THINK_OFF), ("0.1", BudgetState.EXHAUSTED)],
)
async def test_a_keys_own_usage_moves_its_budget(
    acme: httpx.AsyncClient, catch_up: Callable[[], object], budget: str, state: BudgetState
) -> None:
    key, other = await new_key(acme, monthly_budget=budget), await new_key(acme, monthly_budget=budget)
    await deliver(acme, an_event(tokens=TENTH, api_key_id=key["id"]), an_event(tokens=TENTH))
    catch_up()
    spent = (await in_directory(acme, key)).budget
    assert spent is not None
    assert (spent.state, spent.spent) == (state, Decimal("0.1"))
    untouched = (await in_directory(acme, other)).budget
    assert untouched is not None
    assert (untouched.state, untouched.spent) == (BudgetState.OK, Decimal(0))
    (shown, _) = (await acme.get("/v1/tenants/acme/keys", headers=ADMIN)).json()["keys"]
    assert shown["budget"]["spent"] == "0.1"


async def test_a_tenant_spends_what_its_keys_spend_and_what_has_no_key(
    acme: httpx.AsyncClient, catch_up: Callable[[], object]
) -> None:
    await acme.patch("/v1/tenants/acme", json={"monthly_budget": "1"}, headers=ADMIN)
    keys = [await new_key(acme) for _ in range(2)]
    await deliver(acme, *(an_event(tokens=TENTH, api_key_id=key["id"]) for key in keys), an_event(tokens=TENTH))
    catch_up()
    assert (await acme.get("/v1/tenants/acme", headers=ADMIN)).json()["budget"]["spent"] == "0.3"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"limits": {"concurrency": 0}}, "limits.concurrency"),
        ({"monthly_budget": "-1"}, "monthly_budget"),
        ({"think_off_at": 2}, "think_off_at"),
        ({"project": "another"}, "project"),
        ({"expires_at": None}, "expires_at"),
    ],
)
async def test_a_key_is_not_changed_to_what_cannot_be(
    acme: httpx.AsyncClient, change: dict[str, Any], field: str
) -> None:
    key = await new_key(acme)
    answer = await acme.patch(f"/v1/keys/{key['id']}", json=change, headers=ADMIN)
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_an_unknown_key_is_not_found(client: httpx.AsyncClient) -> None:
    answer = await client.patch("/v1/keys/01a20ec1-5760-7002-93b1-cf91d5cd682e", json={"name": "x"}, headers=ADMIN)
    assert answer.status_code == httpx.codes.NOT_FOUND
