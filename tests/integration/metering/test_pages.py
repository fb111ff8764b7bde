"""Every list that can grow comes page by page, each in the same way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import httpx
import pytest

from kat_metering.main import create_app
from kat_metering.settings import Settings
from tests.fakes.metering import ADMIN
from tests.fakes.metering_calls import deliver, got
from tests.fakes.usage_events import an_event

LAST_MONTH = datetime.now(UTC).replace(day=1) - timedelta(days=1)
LISTS = {
    "/v1/audit": "entries",
    "/v1/baselines": "baselines",
    "/v1/prices": "prices",
    "/v1/prices/versions": "versions",
    "/v1/statements": "statements",
    f"/v1/statements/due?month={LAST_MONTH:%Y-%m}": "tenants",
    "/v1/tenants": "tenants",
    "/v1/tenants/t1/discounts": "discounts",
    "/v1/tenants/t1/keys": "keys",
    "/v1/tenants/t1/webhooks": "webhooks",
}
WITHOUT_ENTRIES_HERE = {"/v1/tenants/t1/alerts"}
"""Paged too: tests of alerts, which need a budget that is spent, look at it."""
REPORTS = {
    "/v1/directory",
    "/v1/gpu-cost",
    "/v1/prices/diff",
    "/v1/savings",
    "/v1/savings/estimate",
    "/v1/shadow/samples",
    "/v1/statements/draft",
    "/v1/statements/verification",
    "/v1/statements/{name}",
    "/v1/usage",
}
"""Documents, true as a whole: what bounds them is what was asked for."""
MANY = 3


async def _made(client: httpx.AsyncClient, path: str, body: object) -> None:
    answer = await client.post(path, json=body, headers=ADMIN)
    assert answer.is_success, answer.text


@pytest.fixture
async def full(client: httpx.AsyncClient, catch_up: Callable[[], object]) -> httpx.AsyncClient:
    """A platform with several entries in every list."""
    owing, due = [f"t{number}" for number in range(MANY)], [f"u{number}" for number in range(MANY)]
    await deliver(client, *(an_event(tenant=each, at=LAST_MONTH) for each in (*owing, *due)))
    catch_up()
    for each in owing:
        await _made(client, "/v1/tenants", {"id": each, "name": "x"})
    for number in range(MANY):
        await _made(client, "/v1/statements", {"tenant": f"t{number}", "month": f"{LAST_MONTH:%Y-%m}"})
        await _made(client, "/v1/tenants/t1/keys", {"name": f"{number}"})
        await _made(client, "/v1/tenants/t1/webhooks", {"url": f"https://hook.invalid/{number}"})
        discount = {"model": f"m/{number}", "percent": "1", "effective_from": "2030-01-01T00:00:00Z", "reason": "x"}
        await _made(client, "/v1/tenants/t1/discounts", [discount])
        price = {"segment": "think", "per_million": "1", "currency": "USD", "effective_from": "2030-01-01T00:00:00Z"}
        reason = {"basis": "compute", "source": "a test", "source_date": "2026-01-01"}
        await _made(client, "/v1/prices", [{"model": f"m/{number}", **price, **reason}])
    return client


@pytest.mark.parametrize("path", LISTS)
async def test_the_pages_of_a_list_are_the_list(full: httpx.AsyncClient, path: str) -> None:
    whole = await _pages(full, path, limit=500)
    assert len(whole) == 1
    pages = await _pages(full, path, limit=2)
    assert [len(page) for page in pages[:-1]] == [2] * (len(pages) - 1)
    assert list(chain(*pages)) == whole[0]
    assert len(whole[0]) >= MANY


async def _pages(client: httpx.AsyncClient, path: str, *, limit: int) -> list[list[Any]]:
    query = dict(httpx.URL(path).params) | {"limit": str(limit)}
    pages: list[list[Any]] = []
    after: str | None = None
    while not pages or after is not None:
        given = query if after is None else {**query, "after": str(after)}
        answer = await got(client, httpx.URL(path).path, ADMIN, **given)
        pages.append(answer[LISTS[path]])
        after = answer["next"]
    return pages


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("asked", [{"limit": "0"}, {"limit": "501"}, {"after": "\0"}])
async def test_what_names_no_page_is_refused_by_its_field(
    client: httpx.AsyncClient, path: str, asked: dict[str, str]
) -> None:
    url = httpx.URL(path)
    answer = await client.get(url.path, params={**url.params, **asked}, headers=ADMIN)
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert [each["field"] for each in answer.json()["errors"]] == list(asked)


def test_what_answers_with_a_list_comes_in_pages_or_is_one_report(settings: Settings) -> None:
    """Whoever adds a list makes it come in pages, and has it read here."""
    document = create_app(settings).openapi()
    paged, whole = set(), set()
    for path, operations in document["paths"].items():
        answer = _answer_of(document, operations.get("get"))
        if "next" in answer:
            paged.add(path.replace("{tenant_id}", "t1"))
        elif any(each.get("type") == "array" for each in answer.values()):
            whole.add(path)
    assert paged == {httpx.URL(path).path for path in LISTS} | WITHOUT_ENTRIES_HERE
    assert whole == REPORTS


def _answer_of(document: dict[str, Any], operation: dict[str, Any] | None) -> dict[str, Any]:
    """The properties of an operation's answer."""
    if operation is None:
        return {}
    schema = operation["responses"]["200"].get("content", {}).get("application/json", {}).get("schema", {})
    named = schema.get("$ref", "").rpartition("/")[2]
    properties: dict[str, Any] = document["components"]["schemas"].get(named, {}).get("properties", {})
    return properties
