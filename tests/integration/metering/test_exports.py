"""GET /v1/exports/usage: every event of a tenant's month, adding up to what usage reports."""

from __future__ import annotations

import csv
import io
import random
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import orjson
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine, text

from kat.usage_event import Segment
from kat_metering.exports.columns import COLUMNS
from kat_metering.exports.csv import csv_lines
from kat_metering.exports.rows import export_rows
from kat_metering.periods import Window
from kat_metering.prices import PriceBook
from kat_metering.store.engine import reading
from kat_metering.store.partitions import ensure_partitions
from kat_metering.store.price_rows import load_prices
from tests.fakes.metering import ADMIN
from tests.fakes.metering_calls import deliver, got, key_of_new_tenant
from tests.fakes.usage_events import an_event

CatchUp = Callable[[], Any]
MONTH = Window.month(f"{datetime.now(UTC) - timedelta(days=32):%Y-%m}")
"""A month that is over."""


def in_month(seed: int, count: int) -> list[dict[str, Any]]:
    """Events all over the month, of several models, modes, keys and ends."""
    dice = random.Random(seed)
    length = MONTH.end - MONTH.start
    moments = [MONTH.start, MONTH.end - timedelta(milliseconds=1)]
    moments += [MONTH.start + length * dice.random() for _ in range(count - 2)]
    return [
        an_event(
            at=moment,
            model=dice.choice(["KAT-V1-40B", "smollm2-135m", "unknown"]),
            mode=dice.choice(["on", "off", "undecided"]),
            status=dice.choice(["ok", "length", "aborted", "error"]),
            tokens={segment.value: dice.randrange(10_000) for segment in Segment},
        )
        for moment in moments
    ]


async def exported(client: httpx.AsyncClient, form: str, **params: str) -> httpx.Response:
    query = {"tenant": "acme", "month": f"{MONTH.start:%Y-%m}", "format": form} | params
    answer = await client.get("/v1/exports/usage", params=query, headers=ADMIN)
    assert answer.status_code == httpx.codes.OK, answer.text
    return answer


def table(answer: httpx.Response) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


async def test_an_export_adds_up_to_the_usage_of_the_month_exactly(
    client: httpx.AsyncClient, catch_up: CatchUp
) -> None:
    await deliver(client, *in_month(seed=1, count=300))
    catch_up()
    start, end = MONTH.start.isoformat(), MONTH.end.isoformat()
    totals = (await got(client, "/v1/usage", tenant="acme", start=start, end=end))["totals"]
    rows = table(await exported(client, "csv"))
    assert len(rows) == totals["requests"] == 300
    assert sum(Decimal(row["cost"] or 0) for row in rows) == Decimal(totals["cost"])
    assert sum(int(row["unpriced_tokens"]) for row in rows) == totals["unpriced_tokens"]
    assert {name: sum(int(row[name]) for row in rows) for name in Segment} == totals["tokens"]


async def test_both_formats_say_the_same(client: httpx.AsyncClient) -> None:
    await deliver(client, *in_month(seed=2, count=20))
    lines = [orjson.loads(line) for line in (await exported(client, "jsonl")).content.splitlines()]
    as_text = [{name: "" if value is None else str(value) for name, value in line.items()} for line in lines]
    assert as_text == table(await exported(client, "csv"))


async def test_parquet_says_the_same_as_csv(client: httpx.AsyncClient) -> None:
    await deliver(client, *in_month(seed=4, count=20))
    rows = table(await exported(client, "csv"))
    stored = pq.read_table(io.BytesIO((await exported(client, "parquet")).content)).to_pylist()
    assert [row["id"] for row in stored] == [row["id"] for row in rows]
    assert [row["cost"] for row in stored] == [Decimal(row["cost"]) if row["cost"] else None for row in rows]


async def test_a_row_carries_the_event_in_the_documented_columns(client: httpx.AsyncClient) -> None:
    event = an_event(at=MONTH.start + timedelta(hours=1), project="search", labels={"task": "humaneval"})
    await deliver(client, event)
    [line] = (await exported(client, "jsonl")).content.splitlines()
    assert orjson.loads(line) == {
        "id": event["id"],
        "time": f"{MONTH.start:%Y-%m-%d}T01:00:00.000Z",
        "tenant": "acme",
        "project": "search",
        "api_key_id": None,
        "model": "KAT-V1-40B",
        "mode": "on",
        "mode_source": "model",
        "source": "predictor-0:8080",
        "status": "ok",
        "finish_reason": "stop",
        "task": "humaneval",
        "prompt": 100,
        "prompt_cached": 20,
        "judge": 30,
        "think": 400,
        "answer": 50,
        "control": 12,
        "cost": "0.000054",
        "currency": "USD",
        "unpriced_tokens": 0,
    }


async def test_an_unpriced_row_has_no_cost_instead_of_zero(client: httpx.AsyncClient) -> None:
    await deliver(client, an_event(at=MONTH.start, model="unknown"))
    [row] = table(await exported(client, "csv"))
    assert (row["cost"], row["currency"], row["unpriced_tokens"]) == ("", "", "612")


async def test_rows_come_in_order_of_time(client: httpx.AsyncClient) -> None:
    await deliver(client, *in_month(seed=3, count=50))
    times = [row["time"] for row in table(await exported(client, "csv"))]
    assert times == sorted(times)


async def test_events_of_other_months_and_other_tenants_are_not_in_it(client: httpx.AsyncClient) -> None:
    moments = [MONTH.start - timedelta(milliseconds=1), MONTH.end]
    await deliver(client, *(an_event(at=moment) for moment in moments), an_event(at=MONTH.start, tenant="zeta"))
    assert table(await exported(client, "csv")) == []


async def test_a_month_without_usage_is_a_header_alone(client: httpx.AsyncClient) -> None:
    assert (await exported(client, "csv")).text.strip() == ",".join(COLUMNS)


async def test_a_name_that_a_spreadsheet_would_run_is_defused(client: httpx.AsyncClient) -> None:
    await deliver(client, an_event(at=MONTH.start, project='=HYPERLINK("http://evil")'))
    [row] = table(await exported(client, "csv"))
    assert row["project"] == '\'=HYPERLINK("http://evil")'


async def test_the_answer_is_a_file_with_its_size(client: httpx.AsyncClient) -> None:
    answer = await exported(client, "csv")
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert f'filename="usage-{MONTH.start:%Y-%m}.csv"' in answer.headers["content-disposition"]


async def test_a_tenants_key_exports_its_own_usage(client: httpx.AsyncClient) -> None:
    key = await key_of_new_tenant(client, "acme")
    await deliver(client, an_event(at=MONTH.start), an_event(at=MONTH.start, tenant="zeta"))
    answer = await client.get("/v1/exports/usage", params={"month": f"{MONTH.start:%Y-%m}"}, headers=key)
    assert [row["tenant"] for row in table(answer)] == ["acme"]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"month": "2026-11"}, "tenant"),
        ({"tenant": "acme", "month": "November"}, "month"),
        ({"tenant": "acme"}, "month"),
        ({"tenant": "acme", "month": "2026-11", "format": "xls"}, "format"),
    ],
)
async def test_a_bad_parameter_is_a_problem_that_names_it(
    client: httpx.AsyncClient, params: dict[str, str], field: str
) -> None:
    answer = await client.get("/v1/exports/usage", params=params, headers=ADMIN)
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_an_archived_month_is_refused_instead_of_coming_out_empty(
    client: httpx.AsyncClient, engine: Engine
) -> None:
    archived = text("""
        INSERT INTO usage_archive (month, requests, prompt, prompt_cached, judge, think, answer, control, engine_seconds)
        VALUES (:month, 1, 1, 0, 0, 0, 0, 0, 0)
    """)
    with engine.begin() as connection:
        connection.execute(archived, {"month": MONTH.start})
    query = {"tenant": "acme", "month": f"{MONTH.start:%Y-%m}"}
    whole = await client.get("/v1/exports/usage", params=query, headers=ADMIN)
    rolled_up = await client.get("/v1/exports/usage", params=query | {"format": "focus-csv"}, headers=ADMIN)
    assert (whole.status_code, rolled_up.status_code) == (httpx.codes.CONFLICT, httpx.codes.OK)
    assert "archived" in whole.json()["detail"]
    key = await key_of_new_tenant(client, "acme")
    own = await client.get("/v1/exports/usage", params={"month": query["month"]}, headers=key)
    assert own.status_code == httpx.codes.CONFLICT


def test_memory_does_not_grow_with_the_month(engine: Engine) -> None:
    ensure_partitions(engine, [MONTH.start])
    filled = text("""
        INSERT INTO usage_event (id, occurred_at, tenant, project, model, mode, mode_source, status, prompt,
            prompt_cached, judge, think, answer, control, duration_ms, engine_seconds, task, labels, source)
        SELECT (lpad(to_hex(:first + n), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid,
            to_timestamp((:first + n) / 1000.0), 'acme', 'default', 'KAT-V1-40B', 'on', 'model', 'ok',
            100, 0, 10, 400, 50, 5, 1, 1, '', '{}', 'predictor-0'
        FROM generate_series(1, 30000) AS n
    """)
    with engine.begin() as connection:
        connection.execute(filled, {"first": int(MONTH.start.timestamp() * 1000)})
    with reading(engine, None) as connection:
        lines = csv_lines(export_rows(connection, "acme", MONTH, PriceBook(load_prices(connection))))
        for _ in range(5_000):
            next(lines)
        tracemalloc.start()
        try:
            rest = sum(1 for _ in lines)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    # All 25,000 rows at once would take tens of megabytes.
    assert (rest, peak < 8_000_000) == (30_001 - 5_000, True)
