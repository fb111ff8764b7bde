"""FOCUS exports: a charge for each tenant, project, key, SKU, mode and hour, adding up to usage and to savings."""

from __future__ import annotations

import csv
import io
import tracemalloc
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import pyarrow.parquet as pq
from sqlalchemy import Engine, text, update

from kat_metering.exports.focus_columns import FOCUS_COLUMNS
from kat_metering.exports.formats import ExportFormat
from kat_metering.exports.pieces import Wanted, export_pieces
from kat_metering.methods import Method
from kat_metering.money import exact_sum
from kat_metering.seed import seed_defaults
from kat_metering.store.engine import reading
from kat_metering.store.tables import price
from kat_metering.valuation import BaselineChoice
from tests.fakes.metering import ADMIN
from tests.fakes.metering_calls import deliver, got, key_of_new_tenant
from tests.fakes.mixed_usage import MONTH, NAME, events
from tests.fakes.usage_events import an_event

CatchUp = Callable[[], Any]
HOUR = timedelta(hours=1)


async def exported(client: httpx.AsyncClient, headers: dict[str, str] = ADMIN, **params: str) -> list[dict[str, Any]]:
    """The rows of a FOCUS export as CSV."""
    query = {"month": NAME, "format": "focus-csv"} | params
    answer = await client.get("/v1/exports/usage", params=query, headers=headers)
    assert answer.status_code == httpx.codes.OK, answer.text
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


def priced(given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in given if event["data"]["model"] != "mystery"]


async def closed(client: httpx.AsyncClient) -> tuple[str, list[dict[str, Any]]]:
    """The name and the lines of the statement that closes acme's month."""
    answer = await client.post("/v1/statements", json={"tenant": "acme", "month": NAME}, headers=ADMIN)
    assert answer.status_code == httpx.codes.CREATED, answer.text
    statement = answer.json()
    return f"{statement['series']}-{statement['number']:06d}", statement["lines"]


def total(rows: list[dict[str, Any]], column: str) -> Decimal:
    return exact_sum(Decimal(row[column]) for row in rows if row[column] not in {"", None})


async def test_costs_tokens_requests_and_seconds_add_up_to_the_usage_of_the_month_exactly(
    client: httpx.AsyncClient, catch_up: CatchUp, engine: Engine
) -> None:
    await deliver(client, *events(seed=1, count=300))
    catch_up()
    rows = await exported(client)
    totals = (await got(client, "/v1/usage", start=MONTH.start.isoformat(), end=MONTH.end.isoformat()))["totals"]
    assert {total(rows, name) for name in ("ListCost", "BilledCost", "EffectiveCost")} == {Decimal(totals["cost"])}
    assert total(rows, "ConsumedQuantity") == sum(totals["tokens"].values())
    assert total(rows, "x_UnpricedTokens") == totals["unpriced_tokens"]
    assert total(rows, "x_RequestCount") == totals["requests"]
    with engine.connect() as connection:
        seconds = connection.execute(text("SELECT sum(engine_seconds) FROM usage_event")).scalar_one()
    assert total(rows, "x_EngineSeconds") == seconds


async def test_a_closed_month_adds_up_to_its_statement_to_the_last_digit(
    client: httpx.AsyncClient, catch_up: CatchUp
) -> None:
    await key_of_new_tenant(client, "acme")
    discounts = [
        {"percent": "12.345678", "effective_from": MONTH.start.isoformat(), "reason": "a contract"},
        {
            "percent": "3",
            "segment": "think",
            "effective_from": (MONTH.start + HOUR).isoformat(),
            "reason": "a contract",
        },
    ]
    added = await client.post("/v1/tenants/acme/discounts", json=discounts, headers=ADMIN)
    assert added.status_code == httpx.codes.OK, added.text
    await deliver(client, *priced(events(seed=5, count=200)))
    catch_up()
    name, lines = await closed(client)
    rows = await exported(client, tenant="acme")
    assert total(rows, "BilledCost") == exact_sum(Decimal(line["amount"]) for line in lines if line["kind"] == "usage")
    assert total(rows, "BilledCost") < total(rows, "ListCost")
    assert {row["InvoiceId"] for row in rows} == {name}


async def test_an_hour_with_usage_after_the_close_names_no_invoice(
    client: httpx.AsyncClient, catch_up: CatchUp
) -> None:
    await deliver(client, an_event(at=MONTH.start), an_event(at=MONTH.start + HOUR))
    catch_up()
    name, _ = await closed(client)
    await deliver(client, an_event(at=MONTH.start))
    catch_up()
    found = {row["ChargePeriodStart"]: row["InvoiceId"] for row in await exported(client)}
    assert list(found.values()) == ["", name]


async def test_there_is_one_row_for_each_tenant_project_key_sku_mode_and_hour(
    client: httpx.AsyncClient, catch_up: CatchUp
) -> None:
    given = events(seed=2, count=200)
    await deliver(client, *given)
    catch_up()
    rows = await exported(client)
    expected = {
        (
            data["tenant"],
            data["project"],
            data["api_key_id"],
            f"{data['model']}/{segment}",
            data["mode"],
            event["time"][:13],
        )
        for event in given
        for data in [event["data"]]
        for segment, tokens in data["tokens"].items()
        if tokens
    }
    found = [
        (
            row["BillingAccountId"],
            row["SubAccountId"],
            row["Tags"].partition('key-id":"')[2].rstrip('"}') or None,
            row["SkuId"],
            row["x_Mode"],
            row["ChargePeriodStart"][:13],
        )
        for row in rows
    ]
    assert len(found) == len(set(found))
    assert set(found) == expected


async def test_the_savings_columns_add_up_to_the_savings_report(client: httpx.AsyncClient, catch_up: CatchUp) -> None:
    await deliver(client, *events(seed=3, count=200))
    catch_up()
    rows = await exported(client, baseline="deepseek-r1-0528")
    totals = (
        await got(
            client, "/v1/savings", baseline="deepseek-r1-0528", start=MONTH.start.isoformat(), end=MONTH.end.isoformat()
        )
    )["totals"]
    assert total(rows, "x_ComparedCost") == Decimal(totals["actual_cost"])
    # Estimates are rounded to fifteen places, row by row.
    assert abs(total(rows, "x_Savings") - Decimal(totals["savings"])) < Decimal("1e-12")


async def test_parquet_says_the_same_as_csv(client: httpx.AsyncClient, catch_up: CatchUp) -> None:
    await deliver(client, *events(seed=4, count=50))
    catch_up()
    answer = await client.get("/v1/exports/usage", params={"month": NAME, "format": "focus-parquet"}, headers=ADMIN)
    table = pq.read_table(io.BytesIO(answer.content))
    rows = await exported(client)
    assert table.column_names == list(rows[0]) == list(FOCUS_COLUMNS)
    assert table.column("SkuId").to_pylist() == [row["SkuId"] for row in rows]
    assert table.column("BilledCost").to_pylist() == [Decimal(row["BilledCost"]) for row in rows]


async def test_the_file_is_named_for_its_month_and_format(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/exports/usage", params={"month": NAME, "format": "focus-csv"}, headers=ADMIN)
    assert answer.headers["content-disposition"] == f'attachment; filename="usage-{NAME}.focus.csv"'


async def test_a_tenants_key_exports_its_own_charges_under_its_name(
    client: httpx.AsyncClient, catch_up: CatchUp
) -> None:
    key = await key_of_new_tenant(client, "acme")
    await deliver(client, an_event(at=MONTH.start), an_event(at=MONTH.start, tenant="zeta"))
    catch_up()
    rows = await exported(client, key)
    assert {(row["BillingAccountId"], row["BillingAccountName"]) for row in rows} == {("acme", "acme")}


async def test_without_a_baseline_the_savings_columns_are_empty(client: httpx.AsyncClient, catch_up: CatchUp) -> None:
    await deliver(client, an_event(at=MONTH.start))
    catch_up()
    assert {(row["x_Savings"], row["x_BaselineModel"]) for row in await exported(client, baseline="none")} == {("", "")}


async def test_a_baseline_in_another_currency_is_a_conflict_that_names_the_way_out(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    with engine.begin() as connection:
        connection.execute(update(price).values(currency="EUR"))
    answer = await client.get("/v1/exports/usage", params={"month": NAME, "format": "focus-csv"}, headers=ADMIN)
    assert (answer.status_code, "baseline=none" in answer.json()["detail"]) == (httpx.codes.CONFLICT, True)


def test_memory_does_not_grow_with_the_month(engine: Engine) -> None:
    filled = text("""
        INSERT INTO usage_hourly (hour, key_sha256, tenant, project, api_key_id, model, mode, mode_source, status, task,
            prompt_bucket, requests, prompt, prompt_cached, judge, think, answer, control, engine_seconds)
        SELECT CAST(:start AS timestamptz) + make_interval(hours => n / 100), sha256(n::text::bytea), 'acme', 'p' || n,
            '00000000-0000-0000-0000-000000000000', 'KAT-V1-40B', 'on', 'model', 'ok', '', '0-255', 1, n, 0, 0, n, 0, 0, 1
        FROM generate_series(1, 3000) AS n
    """)
    with engine.begin() as connection:
        seed_defaults(connection, currency="USD")
        connection.execute(filled, {"start": MONTH.start})
    wanted = Wanted(
        "acme", MONTH, ExportFormat.FOCUS_CSV, BaselineChoice("kat-v1-200b", Method.L2), "USD", "KAT Platform"
    )
    with reading(engine, None) as connection:
        pieces = export_pieces(connection, wanted)
        for _ in range(100):
            next(pieces)
        tracemalloc.start()
        try:
            rest = sum(1 for _ in pieces)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    # All 6,000 rows at once would take some thirty megabytes.
    assert (rest, peak < 8_000_000) == (1 + 2 * 3_000 - 100, True)
