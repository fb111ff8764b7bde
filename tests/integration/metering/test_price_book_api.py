"""Prices over HTTP, and what a fresh database starts with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, func, select

from kat_metering.defaults import default_baselines, default_prices
from kat_metering.seed import Seeded, seed_defaults
from kat_metering.store.price_rows import load_baselines, load_prices
from kat_metering.store.tables import price
from tests.fakes.metering import ADMIN, SERVICE
from tests.fakes.metering_calls import got, key_of_new_tenant

NEXT_MONTH = (datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=32)).replace(
    day=1
)


def an_entry(**changed: Any) -> dict[str, Any]:
    return {
        "model": "KAT-V1-40B",
        "segment": "think",
        "per_million": "0.12",
        "currency": "USD",
        "effective_from": NEXT_MONTH.isoformat(),
        "basis": "compute",
        "source": "GPU contract",
        "source_date": "2026-11-01",
        **changed,
    }


async def imported(client: httpx.AsyncClient, *entries: Any) -> httpx.Response:
    return await client.post("/v1/prices", json={"prices": entries}, headers=ADMIN)


async def test_a_fresh_service_has_the_default_prices_and_baselines(client: httpx.AsyncClient, engine: Engine) -> None:
    with engine.connect() as connection:
        prices, baselines = load_prices(connection), load_baselines(connection)
    assert sorted(map(str, prices)) == sorted(map(str, default_prices()))
    by_name = {each.name: each for each in baselines}
    for default in default_baselines():
        found = by_name.pop(default.name)
        assert set(found.prices) == set(default.prices)
        assert set(found.token_ratios) == set(default.token_ratios)
        assert found.architecture == default.architecture
    assert by_name == {}


def test_seeding_again_adds_nothing(engine: Engine) -> None:
    seeded = []
    for _ in range(2):
        with engine.begin() as connection:
            seeded.append(seed_defaults(connection, currency="USD"))
    assert seeded == [Seeded(len(default_prices()), len(default_baselines())), Seeded(0, 0)]


def test_an_installation_in_another_currency_is_not_seeded_with_dollars(engine: Engine) -> None:
    with engine.begin() as connection:
        assert seed_defaults(connection, currency="EUR") == Seeded(0, 0)


async def test_prices_are_listed_with_source_and_date(client: httpx.AsyncClient) -> None:
    book = await got(client, "/v1/prices")
    assert (book["currency"], book["warnings"]) == ("USD", [])
    assert all(each["source"] and each["source_date"] for each in book["prices"])


async def test_baselines_are_listed_with_their_token_ratios(client: httpx.AsyncClient) -> None:
    found = {each["name"]: each for each in (await got(client, "/v1/baselines"))["baselines"]}
    assert {ratio["label"] for ratio in found["kat-v1-200b"]["token_ratios"]} == {"cited"}
    assert found["dense-200b"]["hypothetical"] is True


async def test_a_new_price_ends_the_open_one(client: httpx.AsyncClient) -> None:
    answer = await imported(client, an_entry())
    assert answer.json() == {"added": 1, "ended": 1, "unchanged": 0, "warnings": []}
    think = [
        p for p in (await got(client, "/v1/prices"))["prices"] if (p["model"], p["segment"]) == ("KAT-V1-40B", "think")
    ]
    assert think[0]["effective_to"] == think[1]["effective_from"]
    assert [each["per_million"] for each in think] == ["0.1", "0.12"]


async def test_importing_twice_changes_nothing_the_second_time(client: httpx.AsyncClient) -> None:
    await imported(client, an_entry())
    assert (await imported(client, an_entry())).json() == {"added": 0, "ended": 0, "unchanged": 1, "warnings": []}


async def test_prices_are_imported_from_yaml(client: httpx.AsyncClient) -> None:
    body = f"""
        defaults: {{currency: USD, effective_from: {NEXT_MONTH:%Y-%m-%dT%H:%M:%SZ}, basis: compute}}
        prices: [{{model: M, segment: think, per_million: 0.3, source: a contract, source_date: 2026-11-01}}]
    """
    answer = await client.post("/v1/prices", content=body, headers={**ADMIN, "Content-Type": "application/yaml"})
    assert answer.json()["added"] == 1
    [warning] = answer.json()["warnings"]
    assert warning.startswith("M has no price for prompt")


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        (an_entry(per_million="-1"), "prices[1].per_million"),
        (an_entry(effective_from="2027-01-01T00:30:00Z"), "prices[1].effective_from"),
        (an_entry(currency="EUR", segment="answer"), "prices[1].currency"),
        (an_entry(segment="answer", source="\x00"), "prices[1].source"),
        (an_entry(segment="answer", colour="red"), "prices[1].colour"),
        (an_entry(), "prices[1].effective_from"),
        ("a price", "prices[1].entry"),
    ],
)
async def test_a_bad_entry_is_a_problem_that_names_it_and_nothing_is_changed(
    client: httpx.AsyncClient, engine: Engine, entry: Any, field: str
) -> None:
    answer = await imported(client, an_entry(), entry)
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(price)) == len(default_prices())


async def test_a_whole_book_in_another_currency_than_the_installation_is_refused(
    client: httpx.AsyncClient,
) -> None:
    answer = await imported(client, an_entry(currency="EUR", model="M"))
    assert answer.json()["errors"] == [{"field": "prices[0].currency", "message": "this installation counts in USD"}]


@pytest.mark.parametrize(
    ("body", "kind"), [(b"[", "application/json"), (b"[", "application/yaml"), (b"\xff", "application/json")]
)
async def test_a_body_that_cannot_be_read_is_a_bad_request(client: httpx.AsyncClient, body: bytes, kind: str) -> None:
    answer = await client.post("/v1/prices", content=body, headers={**ADMIN, "Content-Type": kind})
    assert answer.status_code == httpx.codes.BAD_REQUEST


async def test_only_an_administrator_changes_prices(client: httpx.AsyncClient) -> None:
    key = await key_of_new_tenant(client, "acme")
    statuses = [(await client.post("/v1/prices", json=[], headers=each)).status_code for each in (key, SERVICE, {})]
    assert statuses == [httpx.codes.FORBIDDEN, httpx.codes.FORBIDDEN, httpx.codes.UNAUTHORIZED]
