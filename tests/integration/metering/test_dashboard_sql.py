"""The dashboards' SQL finds what is there, and says the same as metering's own reports."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError

from dashboards import usage_sql
from kat_metering.methods import Method
from kat_metering.periods import Window
from kat_metering.usage import UsageQuery
from kat_metering.valuation import BaselineChoice, savings, usage
from tests.fakes import grafana
from tests.fakes.console_demo import MODEL, demo_events, samples
from tests.fakes.metering import ADMIN, SERVICE
from tests.fakes.metering_calls import deliver
from tests.fakes.usage_events import an_event

OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"
NOW = datetime.now(UTC)
WINDOW = Window(
    (NOW - timedelta(days=70)).replace(hour=0, minute=0, second=0, microsecond=0),
    NOW.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1),
)
DENSE = "dense-200b"
SAMPLED = "kat-v1-200b"
"""The baseline of the samples."""
QUERIES = list(grafana.queries("grafana-postgresql-datasource"))
BATCH = {"Content-Type": "application/cloudevents-batch+json"}
JSON = {"Content-Type": "application/json"}
EVERYBODY = UsageQuery(WINDOW, tenant=None, group_by=())


@dataclass(frozen=True)
class Grafana:
    """Asks as the user does that docs/operations.md makes for it."""

    engine: Engine
    role: str

    def asks(self, sql: str, **chosen: list[str]) -> list[dict[str, Any]]:
        values = {"tenant": ["acme", "borealis", "o'hara"], "model": [MODEL, "mystery"], "baseline": [DENSE]}
        asked = grafana.sql(sql, values | chosen, start=WINDOW.start, end=WINDOW.end)
        with self.engine.connect() as connection:
            connection.execute(text(f"SET LOCAL ROLE {self.role}"))
            return [dict(row) for row in connection.exec_driver_sql(asked.replace("%", "%%")).mappings()]


@pytest.fixture
def role(engine: Engine) -> Iterator[str]:
    """The user that docs/operations.md makes, under a name of its own: users are the whole server's."""
    (script,) = re.findall(r"```sql\n(CREATE ROLE grafana.*?)```", OPERATIONS.read_text(), flags=re.DOTALL)
    name = f"grafana_{uuid4().hex}"
    with engine.begin() as connection:
        connection.exec_driver_sql(re.sub(r"\bgrafana\b", name, script))
        # From version 16 on, whoever makes a role may not become it without this.
        connection.exec_driver_sql(f"GRANT {name} TO CURRENT_USER")
    yield name
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP OWNED BY {name}")
        connection.exec_driver_sql(f"DROP ROLE {name}")


@pytest.fixture
async def busy(client: httpx.AsyncClient, engine: Engine, role: str, catch_up: Callable[[], object]) -> Grafana:
    """Two months of two tenants, some of it without a price, aborted, refused."""
    for tenant in ("acme", "borealis"):
        made = await client.post(
            "/v1/tenants", json={"id": tenant, "name": tenant, "monthly_budget": "0.5"}, headers=ADMIN
        )
        assert made.is_success, made.text
    recently = NOW - timedelta(hours=3)
    await deliver(
        client,
        *demo_events(NOW, seed=3),
        *(an_event(at=recently, model="mystery", tenant="acme") for _ in range(3)),
        an_event(at=recently, model=MODEL, status="aborted"),
        an_event(at=recently, model=MODEL, mode="undecided", status="error"),
    )
    refused = await client.post("/v1/events", content=orjson.dumps([{"no": "event"}]), headers={**SERVICE, **BATCH})
    assert refused.json()["rejected"] == 1
    sent = await client.post("/v1/shadow/samples", content=samples(NOW), headers={**ADMIN, **JSON})
    assert sent.is_success, sent.text
    catch_up()
    return Grafana(engine, role)


async def test_every_panel_shows_something_where_there_is_usage(busy: Grafana) -> None:
    empty = [
        query.name
        for query in QUERIES
        if not any(
            value is not None for row in busy.asks(query.target["rawSql"], baseline=[SAMPLED]) for value in row.values()
        )
    ]
    assert empty == []


async def test_every_series_has_a_time_a_name_and_a_number(busy: Grafana) -> None:
    columns = {
        query.name: list(busy.asks(query.target["rawSql"])[0])
        for query in QUERIES
        if query.target["format"] == "time_series"
    }
    assert set(map(tuple, columns.values())) == {("time", "metric", "value")}, columns


async def test_a_variable_offers_what_there_is(busy: Grafana) -> None:
    variables = (usage_sql.TENANTS, usage_sql.MODELS, usage_sql.BASELINES, usage_sql.CURRENCY)
    first = [next(iter(busy.asks(sql)[0].values())) for sql in variables]
    assert first == ["acme", MODEL, SAMPLED, "USD"]


async def test_costs_and_unpriced_tokens_are_those_of_the_usage_report(busy: Grafana) -> None:
    with busy.engine.connect() as connection:
        totals = usage(connection, EVERYBODY).totals
    (cost,) = busy.asks(usage_sql.COST)
    (unpriced,) = busy.asks(usage_sql.UNPRICED)
    assert totals.cost is not None
    assert totals.unpriced_tokens > 0
    assert (cost["cost"], unpriced["tokens"]) == (Decimal(str(totals.cost)), totals.unpriced_tokens)


async def test_savings_are_those_of_the_report_at_equal_tokens(busy: Grafana) -> None:
    with busy.engine.connect() as connection:
        report = savings(connection, EVERYBODY, BaselineChoice(DENSE, Method.L1)).totals
    (saved,) = busy.asks(usage_sql.SAVED)
    assert report.savings > 0
    assert saved["saved"] == Decimal(str(report.savings))


async def test_days_and_segments_add_up_to_the_cost(busy: Grafana) -> None:
    (cost,) = busy.asks(usage_sql.COST)
    for sql in (usage_sql.COST_BY_DAY, usage_sql.COST_BY_SEGMENT):
        assert sum(row["value"] for row in busy.asks(sql)) == pytest.approx(float(cost["cost"]))


async def test_tenants_that_are_not_chosen_are_in_nothing(busy: Grafana) -> None:
    assert {row["metric"] for row in busy.asks(usage_sql.COST_BY_DAY, tenant=["acme"])} == {"acme"}
    assert [row["tenant"] for row in busy.asks(usage_sql.TOP_TENANTS, tenant=["borealis"])] == ["borealis"]


async def test_a_measured_ratio_lies_within_its_interval(busy: Grafana) -> None:
    ratios = busy.asks(usage_sql.MEASURED_RATIOS, baseline=[SAMPLED])
    assert {row["mode"] for row in ratios} == {"on", "off"}
    for row in ratios:
        assert row["low"] < row["ratio"] < row["high"]
        assert row["ratio"] == pytest.approx({"on": 1.7, "off": 6.5}[row["mode"]], rel=0.1)


@pytest.mark.parametrize(
    "statement", ["DELETE FROM price", "SELECT sha256 FROM api_key", "SELECT body FROM dead_letter"]
)
async def test_its_user_changes_nothing_and_sees_no_more_than_it_shows(
    engine: Engine, role: str, statement: str
) -> None:
    with engine.connect() as connection:
        connection.execute(text(f"SET LOCAL ROLE {role}"))
        with pytest.raises(ProgrammingError, match="permission denied"):
            connection.execute(text(statement))
