"""Closing statements on a real database: two at once, late usage in any order, tampering past the triggers."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from kat.usage_event import Segment
from kat_metering.discounts import DiscountBook
from kat_metering.errors import ConflictError, MeteringError
from kat_metering.money import exact_sum, less_percent
from kat_metering.periods import Window
from kat_metering.prices import PriceBook
from kat_metering.request_report import as_requests
from kat_metering.rollup import roll_up
from kat_metering.seed import seed_defaults
from kat_metering.statement_chain import Verification
from kat_metering.statement_closing import Closing, NewAdjustment, adjust, close, draft, verify_statements
from kat_metering.statement_lines import Rounding
from kat_metering.statements import Draft, Statement
from kat_metering.store.discount_rows import insert_discounts
from kat_metering.store.price_rows import load_prices, lock_prices
from kat_metering.store.statement_tables import statement
from kat_metering.store.tables import usage_event
from tests.fakes.statements import a_discount
from tests.fakes.stored_events import insert_event
from tests.fakes.usage_events import an_event

CatchUp = Callable[[], Any]
NOW = datetime.now(UTC)
THIS = Window.month(f"{NOW:%Y-%m}")
LAST = Window.month(f"{THIS.start - timedelta(days=1):%Y-%m}")
BEFORE = Window.month(f"{LAST.start - timedelta(days=1):%Y-%m}")


def closing(connection: Connection, month: Window, tenant: str = "acme", series: str = "KAT") -> Statement:
    document = close(
        connection,
        Closing(tenant=tenant, month=f"{month.start:%Y-%m}"),
        issuer="kat-serving",
        series=series,
        currency="USD",
        now=datetime.now(UTC),
    )
    return Statement.model_validate_json(document)


def checked(engine: Engine) -> Verification:
    with engine.connect() as connection:
        return verify_statements(connection, known_sha256=None)


@pytest.fixture
def priced(engine: Engine) -> Engine:
    """A database with the default prices."""
    with engine.begin() as connection:
        seed_defaults(connection, currency="USD")
    return engine


def use(engine: Engine, *events: dict[str, Any]) -> None:
    with engine.begin() as connection:
        for each in events:
            insert_event(connection, each)


def test_of_two_who_close_a_month_at_once_one_wins(priced: Engine, catch_up: CatchUp) -> None:
    use(priced, an_event(at=LAST.start))
    catch_up()
    outcomes: list[str] = []
    together = threading.Barrier(4)

    def closer() -> None:
        together.wait()
        try:
            with priced.begin() as connection:
                outcomes.append(closing(connection, LAST).name)
        except MeteringError as error:
            outcomes.append(type(error).__name__)

    threads = [threading.Thread(target=closer) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(outcomes) == ["ConflictError"] * 3 + ["KAT-000001"]


def test_tenants_closed_at_once_are_numbered_without_gaps_in_one_chain(priced: Engine, catch_up: CatchUp) -> None:
    tenants = [f"tenant-{number}" for number in range(6)]
    use(priced, *(an_event(tenant=tenant, at=LAST.start) for tenant in tenants))
    catch_up()
    together = threading.Barrier(len(tenants))

    def closer(tenant: str) -> None:
        together.wait()
        with priced.begin() as connection:
            closing(connection, LAST, tenant)

    threads = [threading.Thread(target=closer, args=(tenant,)) for tenant in tenants]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    found = checked(priced)
    assert (found.intact, found.statements, found.heads[0].last) == (True, 6, "KAT-000006")


def test_a_closing_that_fails_leaves_no_gap(priced: Engine, catch_up: CatchUp) -> None:
    use(priced, *(an_event(tenant=tenant, at=LAST.start) for tenant in ("acme", "globex")))
    catch_up()
    with priced.connect() as connection:  # never committed
        assert closing(connection, LAST).number == 1
    with priced.begin() as connection:
        assert closing(connection, LAST, "globex").number == 1


def test_postgres_takes_no_second_statement_of_a_month_and_no_fork_of_the_chain(
    priced: Engine, catch_up: CatchUp
) -> None:
    use(priced, an_event(at=LAST.start))
    catch_up()
    with priced.begin() as connection:
        closing(connection, LAST)
        row = dict(connection.execute(select(statement)).mappings().one())
    for changed, constraint in (
        ({"number": 2, "previous_sha256": row["sha256"]}, "statement_tenant_month_key"),
        ({"number": 2, "tenant": "globex"}, "statement_series_previous_sha256_key"),
    ):
        with priced.connect() as connection, pytest.raises(IntegrityError, match=constraint):
            connection.execute(statement.insert(), {**row, **changed})


def a_round(dice: random.Random, count: int) -> list[dict[str, Any]]:
    """Events of the last two months and this one, of priced models."""
    length = NOW - BEFORE.start
    return [
        an_event(
            at=BEFORE.start + length * dice.random(),
            model=dice.choice(["KAT-V1-40B", "smollm2-135m"]),
            mode=dice.choice(["on", "off", "undecided"]),
            tokens={segment.value: dice.randrange(10_000) for segment in Segment},
        )
        for _ in range(count)
    ]


def exact_total(stated: Draft) -> Decimal:
    return exact_sum(line.amount for line in stated.lines if not isinstance(line, Rounding))


def valuation(connection: Connection, discounts: DiscountBook) -> Decimal:
    """What every stored event costs, one by one, at the price and discount of its hour."""
    prices = PriceBook(load_prices(connection))
    rated = prices.rate([as_requests(row).usage for row in connection.execute(select(usage_event)).mappings()])
    return exact_sum(
        less_percent(line.cost, discounts.percent(line.usage.model, line.segment, line.usage.hour))
        for line in rated.lines
    )


@pytest.mark.parametrize("seed", range(3))
def test_closed_statements_and_the_open_draft_are_the_valuation_of_all_events(
    priced: Engine, catch_up: CatchUp, seed: int
) -> None:
    """Events arrive before, between and after the closings, in any order of their times."""
    dice = random.Random(seed)
    discounts = [a_discount("12.5", segment=Segment.THINK), a_discount("7", effective_from=LAST.start)]
    with priced.begin() as connection:
        insert_discounts(connection, discounts)
    totals = []
    for month in (BEFORE, LAST):
        use(priced, *a_round(dice, 30))
        catch_up()
        with priced.begin() as connection:
            totals.append(closing(connection, month).total)
    use(priced, *a_round(dice, 30))
    catch_up()
    with priced.connect() as connection:
        still_open = exact_total(draft(connection, "acme", THIS, currency="USD"))
        assert exact_sum([*totals, still_open]) == valuation(connection, DiscountBook(discounts))
        assert checked(priced).intact


def test_usage_that_arrives_while_a_month_is_being_closed_is_billed_once(priced: Engine, catch_up: CatchUp) -> None:
    dice = random.Random(7)
    use(priced, *a_round(dice, 20))
    catch_up()
    stop = threading.Event()
    arrived = threading.Event()

    def keep_arriving() -> None:
        while not stop.is_set():
            use(priced, *a_round(dice, 5))
            roll_up(priced)
            arrived.set()

    totals = []
    thread = threading.Thread(target=keep_arriving)
    thread.start()
    try:
        for month in (BEFORE, LAST):
            arrived.clear()
            assert arrived.wait(60)
            with priced.begin() as connection:
                totals.append(closing(connection, month).total)
    finally:
        stop.set()
        thread.join()
    catch_up()
    with priced.connect() as connection:
        still_open = exact_total(draft(connection, "acme", THIS, currency="USD"))
        assert exact_sum([*totals, still_open]) == valuation(connection, DiscountBook([]))
    assert checked(priced).intact


def test_a_price_import_waits_for_a_closing_that_is_under_way(priced: Engine, catch_up: CatchUp) -> None:
    use(priced, an_event(at=LAST.start))
    catch_up()
    with priced.begin() as connection:
        closing(connection, LAST)
        with priced.connect() as other:
            other.execute(text("SET LOCAL lock_timeout = '100ms'"))
            with pytest.raises(DBAPIError, match="lock timeout"):
                lock_prices(other)


@contextmanager
def without_triggers(engine: Engine) -> Iterator[Connection]:
    """What a superuser may do to the tables."""
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        yield connection


TAMPERING = [
    "UPDATE statement SET total = total + 1 WHERE number = 2",
    "UPDATE statement SET document = replace(document, '\"acme\"', '\"acne\"') WHERE number = 2",
    "UPDATE statement_usage SET think = think - 1 WHERE number = 2",
    "DELETE FROM statement_usage WHERE number = 2",
    "UPDATE adjustment SET credit = credit / 2",
    "DELETE FROM statement_adjustment",
]


@pytest.mark.parametrize("tampering", TAMPERING)
def test_tampering_past_the_triggers_is_found_at_its_statement(
    priced: Engine, catch_up: CatchUp, tampering: str
) -> None:
    million = {"think": 1_000_000}
    use(priced, *(an_event(at=month.start, tokens=million) for month in (BEFORE, LAST)))
    catch_up()
    with priced.begin() as connection:
        closing(connection, BEFORE)
        adjust(connection, "KAT", 1, NewAdjustment(credit=Decimal("0.02"), reason="slow"), now=NOW)
        closing(connection, LAST)
    assert checked(priced).intact
    with without_triggers(priced) as connection:
        connection.execute(text(tampering))
    assert {each.statement for each in checked(priced).findings} == {"KAT-000002"}


def test_a_statement_cut_off_the_end_is_found_by_its_hash(priced: Engine, catch_up: CatchUp) -> None:
    use(priced, *(an_event(tenant=tenant, at=LAST.start) for tenant in ("acme", "globex")))
    catch_up()
    for tenant in ("acme", "globex"):
        with priced.begin() as connection:
            closing(connection, LAST, tenant)
    noted = checked(priced).heads[0].sha256
    with without_triggers(priced) as connection:
        connection.execute(text("DELETE FROM statement WHERE number = 2"))
        connection.execute(text("DELETE FROM statement_usage WHERE number = 2"))
    with priced.connect() as connection:
        assert verify_statements(connection, known_sha256=None).intact
        assert not verify_statements(connection, known_sha256=noted).intact


def test_usage_that_vanished_from_the_roll_up_is_not_credited_silently(priced: Engine, catch_up: CatchUp) -> None:
    use(priced, an_event(at=BEFORE.start), an_event(at=LAST.start))
    catch_up()
    with priced.begin() as connection:
        closing(connection, BEFORE)
        connection.execute(text("DELETE FROM usage_hourly WHERE hour < :end"), {"end": BEFORE.end})
        with pytest.raises(ConflictError, match="Less usage"):
            closing(connection, LAST)
