"""A draft reads what is open, and is the draft that reading everything would make."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, Engine, insert, text

from kat.usage_event import Segment
from kat_metering.errors import ConflictError
from kat_metering.periods import Window
from kat_metering.rollup import rebuild, roll_up
from kat_metering.statement_closing import Closing, close, draft
from kat_metering.statement_lines import Unpriced, UsageCharge
from kat_metering.statements import Draft
from kat_metering.store.engine import reading
from kat_metering.store.partitions import ensure_partitions, month_after
from kat_metering.store.price_rows import insert_prices
from kat_metering.store.tables import NO_API_KEY, usage_hourly
from kat_metering.store.unbilled_rows import unbilled_usage
from tests.fakes.statement_calls import CatchUp
from tests.fakes.statements import a_price, charges
from tests.fakes.stored_events import insert_event
from tests.fakes.usage_events import an_event

NOW = datetime.now(UTC)
THIS = Window.month(f"{NOW:%Y-%m}")
MODEL = "M"
PLANNERS_PROBES = 5
"""Rows at the end of an index that Postgres looks at to plan, few and at times."""


def months_back(count: int) -> list[Window]:
    """The months before this one, oldest first."""
    return [Window.month(f"{month_after(THIS.start, -back):%Y-%m}") for back in range(count, 0, -1)]


def close_month(connection: Connection, month: Window, tenant: str = "acme", reason: str | None = None) -> None:
    closing = Closing(tenant=tenant, month=f"{month.start:%Y-%m}", unpriced_reason=reason)
    close(connection, closing, issuer="kat-serving", series="KAT", currency="USD", now=NOW)


@pytest.fixture
def priced(engine: Engine) -> Engine:
    """A database with prices of one model, and partitions of half a year."""
    with engine.begin() as connection:
        insert_prices(connection, [a_price(each, effective_from=datetime(2020, 1, 1, tzinfo=UTC)) for each in Segment])
    ensure_partitions(engine, [month.start for month in months_back(6)])
    return engine


def roll_up_hours(connection: Connection, tenant: str, month: Window, hours: int) -> None:
    """Put hours of usage into the roll-up as if events had been added to it."""
    zeros = {segment.value: 0 for segment in Segment}
    connection.execute(
        insert(usage_hourly),
        [
            {
                "hour": month.start + timedelta(hours=hour),
                "key_sha256": f"{tenant} {month.start} {hour}".encode(),
                "tenant": tenant,
                "project": "default",
                "api_key_id": NO_API_KEY,
                "model": MODEL,
                "mode": "on",
                "mode_source": "model",
                "status": "ok",
                "task": "",
                "prompt_bucket": "0-255",
                "requests": 1,
                "engine_seconds": 1,
                **zeros,
                "think": 1_000 + hour,
            }
            for hour in range(hours)
        ],
    )


@dataclass(frozen=True)
class Reads:
    """Rows that a draft read: of the roll-up, and of what statements have billed."""

    usage: int
    billed: int


def rows_read(connection: Connection, table: str) -> int:
    """So far; what earlier transactions of this connection read may be in it until Postgres reports it."""
    count = text(
        "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables WHERE relname = :table"
    )
    return int(connection.execute(count, {"table": table}).scalar_one())


def reads_of_draft(engine: Engine, tenant: str) -> Reads:
    tables = ("usage_hourly", "statement_usage")
    with reading(engine, None) as connection:
        before = [rows_read(connection, table) for table in tables]
        assert draft(connection, tenant, THIS, currency="USD").lines
        usage, billed = (rows_read(connection, table) - read for table, read in zip(tables, before, strict=True))
    return Reads(usage, billed)


def test_a_draft_of_a_tenant_with_years_of_history_reads_what_that_of_a_new_one_reads(
    priced: Engine, catch_up: CatchUp
) -> None:
    history = months_back(24)
    catch_up()
    with priced.begin() as connection:
        for month in history:
            roll_up_hours(connection, "veteran", month, hours=48)
            close_month(connection, month, "veteran")
        for tenant in ("veteran", "newcomer"):
            roll_up_hours(connection, tenant, THIS, hours=48)
    with priced.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE usage_hourly, statement_usage"))
    newcomer, veteran = (reads_of_draft(priced, tenant) for tenant in ("newcomer", "veteran"))
    for reads in (newcomer, veteran):
        assert 48 <= reads.usage <= 48 + PLANNERS_PROBES
        assert reads.billed <= PLANNERS_PROBES


def test_late_usage_is_read_beside_the_open_month(priced: Engine, catch_up: CatchUp) -> None:
    *_, before, last = months_back(3)
    with priced.begin() as connection:
        for month in (before, last):
            for hour in range(20):
                insert_event(
                    connection, an_event(model=MODEL, at=month.start + timedelta(hours=hour), tokens={"think": 1_000})
                )
    catch_up()
    with priced.begin() as connection:
        for month in (before, last):
            close_month(connection, month)
    with priced.begin() as connection:
        insert_event(connection, an_event(model=MODEL, at=before.start + timedelta(hours=7), tokens={"think": 5}))
    catch_up()
    with reading(priced, "acme") as connection:
        found = draft(connection, "acme", THIS, currency="USD")
    assert tokens_of(found) == {(f"{before.start:%Y-%m}", MODEL, "on", "think"): 5}


def everything(connection: Connection, found: Draft) -> list[tuple[datetime, str, str, dict[str, int]]]:
    """What a draft that reads the whole history would have to state."""
    return [
        (line.hour, line.model, line.mode.value, {name.value: count for name, count in line.tokens.items() if count})
        for line in unbilled_usage(connection, found.tenant, before=found.end)
    ]


def tokens_of(found: Draft) -> dict[tuple[str, str, str, str], int]:
    counted: dict[tuple[str, str, str, str], int] = {}
    stated: list[UsageCharge | Unpriced] = [*charges(found), *found.unpriced]
    for each in stated:
        key = (each.month, each.model, each.mode.value, each.segment.value)
        counted[key] = counted.get(key, 0) + each.tokens
    return counted


def tokens_unbilled(connection: Connection, found: Draft) -> dict[tuple[str, str, str, str], int]:
    counted: dict[tuple[str, str, str, str], int] = {}
    for hour, model, mode, tokens in everything(connection, found):
        for segment, count in tokens.items():
            key = (f"{hour:%Y-%m}", model, mode, segment)
            counted[key] = counted.get(key, 0) + count
    return counted


@pytest.mark.parametrize("seed", range(4))
def test_a_draft_states_what_reading_everything_would_state(priced: Engine, seed: int) -> None:
    """Events of any month, some of a model without a price, between closings, rebuilds and prices that come late."""
    dice = random.Random(seed)
    months = months_back(4)
    for number, month in enumerate(months):
        for _ in range(3):
            with priced.begin() as connection:
                for _ in range(10):
                    at = months[0].start + (NOW - months[0].start) * dice.random()
                    model = dice.choice([MODEL, "mystery"])
                    insert_event(connection, an_event(at=at, model=model, tokens={"think": dice.randrange(1, 10_000)}))
            roll_up(priced)
        if dice.random() < 0.3:
            rebuild(priced)
        if number == 2:
            with priced.begin() as connection:
                insert_prices(connection, [a_price(each, model="mystery") for each in Segment])
        with priced.begin() as connection:
            connection.execute(text("UPDATE rollup_state SET as_of = greatest(as_of, :now)"), {"now": NOW})
            close_month(connection, month, reason="a trial")
        with priced.begin() as connection:
            for _ in range(5):
                at = months[0].start + (NOW - months[0].start) * dice.random()
                insert_event(connection, an_event(model=MODEL, at=at, tokens={"answer": dice.randrange(1, 10_000)}))
        roll_up(priced)
        with reading(priced, None) as connection:
            found = draft(connection, "acme", THIS, currency="USD")
            assert tokens_of(found) == tokens_unbilled(connection, found)


def test_after_a_rebuild_a_draft_notices_what_vanished(priced: Engine, catch_up: CatchUp) -> None:
    [last] = months_back(1)
    with priced.begin() as connection:
        insert_event(connection, an_event(model=MODEL, at=last.start, tokens={"think": 1_000}))
        insert_event(connection, an_event(model=MODEL, tokens={"think": 1_000}))
    catch_up()
    with priced.begin() as connection:
        close_month(connection, last)
        connection.execute(text("DELETE FROM usage_event WHERE occurred_at < :end"), {"end": last.end})
    rebuild(priced)
    with reading(priced, None) as connection, pytest.raises(ConflictError, match="Less usage"):
        draft(connection, "acme", THIS, currency="USD")


def test_statements_from_before_changes_were_kept_are_held_against_everything(
    priced: Engine, catch_up: CatchUp
) -> None:
    [last] = months_back(1)
    with priced.begin() as connection:
        insert_event(connection, an_event(model=MODEL, at=last.start, tokens={"think": 1_000}))
    catch_up()
    with priced.begin() as connection:
        close_month(connection, last)
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("UPDATE statement SET rollup_revision = NULL"))
        insert_event(connection, an_event(model=MODEL, at=last.start, tokens={"think": 7}))
    catch_up()
    with priced.begin() as connection:
        connection.execute(text("DELETE FROM late_hour"))
    with reading(priced, None) as connection:
        found = draft(connection, "acme", THIS, currency="USD")
    assert tokens_of(found) == {(f"{last.start:%Y-%m}", MODEL, "on", "think"): 7}
