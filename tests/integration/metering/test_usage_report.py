"""GET /v1/usage: tokens and cost from the roll-up, at the prices in force in each hour."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, delete

from kat.usage_event import Mode, Segment
from kat_metering.prices import Price, PriceBook, UsageLine
from kat_metering.store.price_rows import insert_prices
from kat_metering.store.tables import price
from tests.fakes.metering import ADMIN, SERVICE
from tests.fakes.metering_calls import deliver, got, key_of_new_tenant
from tests.fakes.usage_events import an_event

CatchUp = Callable[[], Any]
THIS_HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
HOUR = timedelta(hours=1)
NO_TOKENS = {segment.value: 0 for segment in Segment}


def a_price(
    segment: Segment, per_million: str, start: datetime, end: datetime | None = None, mode: str = "any"
) -> Price:
    return Price.model_validate(
        {
            "model": "KAT-V1-40B",
            "segment": segment,
            "mode": mode,
            "per_million": per_million,
            "currency": "USD",
            "effective_from": start,
            "effective_to": end,
            "basis": "compute",
            "source": "a contract",
            "source_date": "2026-01-01",
        }
    )


def replace_prices(engine: Engine, prices: list[Price]) -> None:
    with engine.begin() as connection:
        connection.execute(delete(price))
        insert_prices(connection, prices)


async def test_usage_has_every_token_and_its_exact_cost(client: httpx.AsyncClient, catch_up: CatchUp) -> None:
    await deliver(client, an_event(), an_event())
    catch_up()
    [row] = (await got(client, "/v1/usage"))["rows"]
    assert row["tokens"] == {
        "prompt": 200,
        "prompt_cached": 40,
        "judge": 60,
        "think": 800,
        "answer": 100,
        "control": 24,
    }
    # 240 prompt tokens at 0.04 and 984 generated ones at 0.10 per million.
    assert (row["requests"], row["cost"], row["currency"], row["unpriced_tokens"]) == (2, "0.000108", "USD", 0)


async def test_a_row_carries_the_dimensions_that_were_asked_for_and_no_others(
    client: httpx.AsyncClient, catch_up: CatchUp
) -> None:
    await deliver(client, an_event(at=datetime(THIS_HOUR.year, THIS_HOUR.month, 1, tzinfo=UTC)))
    catch_up()
    [row] = (await got(client, "/v1/usage", group_by="day,key,mode"))["rows"]
    groups = {name: value for name, value in row.items() if name not in {"requests", "tokens", "cost"}}
    assert groups == {
        "day": f"{THIS_HOUR:%Y-%m}-01",
        "api_key_id": None,
        "mode": "on",
        "currency": "USD",
        "unpriced_tokens": 0,
    }


async def test_groups_add_up_to_the_totals(client: httpx.AsyncClient, catch_up: CatchUp) -> None:
    events = [
        an_event(tenant=tenant, mode=mode, project=project)
        for tenant in ("acme", "zeta")
        for mode in ("on", "off")
        for project in ("a", "b", "b")
    ]
    await deliver(client, *events)
    catch_up()
    report = await got(client, "/v1/usage", group_by="tenant,mode,project")
    assert len(report["rows"]) == 8
    assert sum(row["requests"] for row in report["rows"]) == report["totals"]["requests"] == 12
    assert sum(Decimal(row["cost"]) for row in report["rows"]) == Decimal(report["totals"]["cost"])


async def test_usage_is_rated_hour_by_hour_as_if_each_event_were_rated_alone(
    client: httpx.AsyncClient, engine: Engine, catch_up: CatchUp
) -> None:
    start = THIS_HOUR - 24 * HOUR
    prices = [
        a_price(Segment.THINK, "0.123456789", start, start + 6 * HOUR),
        a_price(Segment.THINK, "0.2", start + 6 * HOUR, start + 9 * HOUR),
        # Nothing from hour 9 to 12.
        a_price(Segment.THINK, "0.3", start + 12 * HOUR),
        a_price(Segment.THINK, "0.7", start + 3 * HOUR, start + 15 * HOUR, mode="on"),
        a_price(Segment.ANSWER, "1.1", start),
    ]
    replace_prices(engine, prices)
    dice = random.Random(11)
    lines: list[UsageLine] = []
    events = []
    for _ in range(200):
        moment = start + HOUR * dice.uniform(0, 24)
        mode = dice.choice(["on", "off", "undecided"])
        tokens = NO_TOKENS | {"think": dice.randrange(10_000), "answer": dice.randrange(1_000)}
        events.append(an_event(at=moment, mode=mode, tokens=tokens))
        lines.append(UsageLine("KAT-V1-40B", Mode(mode), moment, {Segment(name): n for name, n in tokens.items()}))
    await deliver(client, *events)
    catch_up()
    alone = PriceBook(prices).rate(lines)
    totals = (await got(client, "/v1/usage", start=start.isoformat()))["totals"]
    assert (Decimal(totals["cost"]), totals["unpriced_tokens"]) == (alone.cost, alone.unpriced_tokens)
    assert alone.unpriced_tokens > 0


async def test_usage_of_a_model_without_prices_is_unpriced_and_never_zero(
    client: httpx.AsyncClient, catch_up: CatchUp
) -> None:
    await deliver(client, an_event(model="unknown"), an_event())
    catch_up()
    report = await got(client, "/v1/usage", group_by="model")
    known, unknown = report["rows"]
    assert (known["cost"], known["unpriced_tokens"]) == ("0.000054", 0)
    assert (unknown["cost"], unknown["unpriced_tokens"]) == (None, 612)
    assert (report["totals"]["cost"], report["totals"]["unpriced_tokens"]) == ("0.000054", 612)


async def test_without_any_price_usage_is_unpriced(
    client: httpx.AsyncClient, engine: Engine, catch_up: CatchUp
) -> None:
    replace_prices(engine, [])
    await deliver(client, an_event())
    catch_up()
    totals = (await got(client, "/v1/usage"))["totals"]
    assert (totals["cost"], totals["currency"], totals["unpriced_tokens"]) == (None, None, 612)


async def test_the_window_takes_its_first_hour_and_leaves_its_last(
    client: httpx.AsyncClient, catch_up: CatchUp
) -> None:
    await deliver(client, *(an_event(at=THIS_HOUR + shift * HOUR) for shift in (-3, -2, -1)))
    catch_up()
    start, end = (THIS_HOUR - 3 * HOUR).isoformat(), (THIS_HOUR - HOUR).isoformat()
    assert (await got(client, "/v1/usage", start=start, end=end))["totals"]["requests"] == 2


async def test_a_report_says_up_to_when_it_is_complete(client: httpx.AsyncClient, catch_up: CatchUp) -> None:
    before = catch_up().as_of
    assert datetime.fromisoformat((await got(client, "/v1/usage"))["as_of"]) >= before


async def test_a_tenants_key_sees_its_own_usage_only(client: httpx.AsyncClient, catch_up: CatchUp) -> None:
    key = await key_of_new_tenant(client, "acme")
    await deliver(client, an_event(tenant="acme"), an_event(tenant="zeta"))
    catch_up()
    report = await got(client, "/v1/usage", key, group_by="tenant")
    assert [row["tenant"] for row in report["rows"]] == ["acme"]
    assert report["totals"]["requests"] == 1


@pytest.mark.parametrize("path", ["/v1/usage", "/v1/savings", "/v1/exports/usage?month=2026-11"])
async def test_a_tenants_key_may_not_ask_for_another_tenant(client: httpx.AsyncClient, path: str) -> None:
    key = await key_of_new_tenant(client, "acme")
    answer = await client.get(httpx.URL(path).copy_merge_params({"tenant": "zeta"}), headers=key)
    assert answer.status_code == httpx.codes.FORBIDDEN


@pytest.mark.parametrize(
    "path", ["/v1/usage", "/v1/savings", "/v1/savings/estimate", "/v1/prices", "/v1/baselines", "/v1/exports/usage"]
)
async def test_predictors_and_strangers_see_no_money(client: httpx.AsyncClient, path: str) -> None:
    statuses = [(await client.get(path, headers=headers)).status_code for headers in (SERVICE, {})]
    assert statuses == [httpx.codes.FORBIDDEN, httpx.codes.UNAUTHORIZED]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"from": "yesterday"}, "from"),
        ({"to": "2026-01-01T00:30:00Z"}, "to"),
        ({"from": "2026-02-01", "to": "2026-01-01"}, "from"),
        ({"group_by": "tenant,colour"}, "group_by"),
    ],
)
async def test_a_bad_parameter_is_a_problem_that_names_it(
    client: httpx.AsyncClient, params: dict[str, str], field: str
) -> None:
    answer = await client.get("/v1/usage", params=params, headers=ADMIN)
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in answer.json()["errors"]] == [field]
