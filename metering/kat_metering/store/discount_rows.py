"""Discounts in the database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, RowMapping, func, insert, select, update

from kat_metering.discounts import Discount
from kat_metering.periods import Window
from kat_metering.store.statement_tables import discount, statement


def load_discounts(connection: Connection, tenant: str | None) -> list[Discount]:
    """Discounts by tenant, scope and time. `tenant` None: everybody's."""
    columns = [discount.c[name] for name in Discount.model_fields]
    query = select(*columns).order_by(
        discount.c.tenant, discount.c.model, discount.c.segment, discount.c.effective_from
    )
    if tenant is not None:
        query = query.where(discount.c.tenant == tenant)
    return [Discount.model_validate(dict(row)) for row in connection.execute(query).mappings()]


def discount_page(connection: Connection, tenant: str | None, *, after: int | None, limit: int) -> Sequence[RowMapping]:
    """Rows of discounts with their `id`, in the order in which they were added, those after a given one."""
    columns = [discount.c[name] for name in ("id", *Discount.model_fields)]
    query = select(*columns).order_by(discount.c.id).limit(limit)
    if tenant is not None:
        query = query.where(discount.c.tenant == tenant)
    if after is not None:
        query = query.where(discount.c.id > after)
    return connection.execute(query).mappings().all()


def insert_discounts(connection: Connection, discounts: Sequence[Discount]) -> None:
    if discounts:
        connection.execute(insert(discount), [each.model_dump() for each in discounts])


def end_discount(connection: Connection, ended: Discount) -> None:
    """Store the end that an open discount was given."""
    connection.execute(
        update(discount)
        .where(
            discount.c.tenant == ended.tenant,
            discount.c.model.is_not_distinct_from(ended.model),
            discount.c.segment.is_not_distinct_from(ended.segment),
            discount.c.effective_from == ended.effective_from,
        )
        .values(effective_to=ended.effective_to)
    )


def closed_until(connection: Connection, tenant: str) -> datetime | None:
    """The end of the tenant's last closed month."""
    month = connection.scalar(select(func.max(statement.c.month)).where(statement.c.tenant == tenant))
    return None if month is None else Window.month(f"{month:%Y-%m}").end
