"""What statements and discounts say about the charges of a month."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Connection, and_, func, or_, select

from kat.usage_event import Segment
from kat_metering.discounts import Discount, DiscountBook
from kat_metering.exports.focus import ChargeKey, PercentOff
from kat_metering.periods import Window
from kat_metering.statements import statement_name
from kat_metering.store.discount_rows import load_discounts
from kat_metering.store.statement_tables import statement, statement_usage
from kat_metering.store.tables import usage_hourly


def percent_off(connection: Connection, tenant: str | None) -> PercentOff:
    """The discounts of a tenant, or of every tenant."""
    by_tenant: dict[str, list[Discount]] = defaultdict(list)
    for each in load_discounts(connection, tenant):
        by_tenant[each.tenant].append(each)
    books = {name: DiscountBook(discounts) for name, discounts in by_tenant.items()}

    def of(tenant: str, model: str, segment: Segment, moment: datetime) -> Decimal:
        book = books.get(tenant)
        return Decimal(0) if book is None else book.percent(model, segment, moment)

    return of


def invoice_of(connection: Connection, month: Window) -> Callable[[ChargeKey], str | None]:
    """The closed statement that has all of an hour's usage, if one has.

    None before the month is closed, and where a part is on no statement or on a later one: late usage, and tokens
    that had no price.
    """
    closed = select(statement.c.tenant, statement.c.series, statement.c.number).where(
        statement.c.month == month.start.date()
    )
    names = {row.tenant: statement_name(row.series, row.number) for row in connection.execute(closed)}
    apart = _not_all_on_it(connection, month) if names else set()

    def of(key: ChargeKey) -> str | None:
        return None if (key.tenant, key.hour, key.model, key.mode.value) in apart else names.get(key.tenant)

    return of


def _not_all_on_it(connection: Connection, month: Window) -> set[tuple[str, datetime, str, str]]:
    """Tenant, hour, model and mode of usage that differs from what the statement of its month billed."""
    key = ("tenant", "hour", "model", "mode")
    used = (
        select(
            *(usage_hourly.c[name] for name in key), *(func.sum(usage_hourly.c[name]).label(name) for name in Segment)
        )
        .where(usage_hourly.c.hour >= month.start, usage_hourly.c.hour < month.end)
        .group_by(*(usage_hourly.c[name] for name in key))
        .subquery()
    )
    billed = (
        select(statement_usage)
        .join(
            statement,
            and_(statement.c.series == statement_usage.c.series, statement.c.number == statement_usage.c.number),
        )
        .where(statement.c.month == month.start.date())
        .subquery()
    )
    same = and_(*(used.c[name] == billed.c[name] for name in key))
    differs = or_(*(used.c[name] != func.coalesce(billed.c[name], 0) for name in Segment))
    rows = connection.execute(select(*(used.c[name] for name in key)).outerjoin_from(used, billed, same).where(differs))
    return {(row.tenant, row.hour, row.model, row.mode) for row in rows}
