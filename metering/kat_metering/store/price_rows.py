"""Prices and baselines in the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, delete, insert, select, text

from kat_metering.baselines import Baseline, BaselinePrice, TokenRatio
from kat_metering.prices import Price
from kat_metering.store.tables import baseline, baseline_price, price, token_ratio

_PRICE_LOCK: Final = 0x6B61_7410  # "kat" and a number: advisory locks are named by integers


def lock_prices(connection: Connection) -> None:
    """Wait for others that change prices or baselines; until the end of the transaction they wait for this one."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _PRICE_LOCK})


def load_prices(connection: Connection) -> list[Price]:
    """Every price, ordered by model, segment, mode and time."""
    columns = [price.c[name] for name in Price.model_fields]
    order = (price.c.model, price.c.segment, price.c.mode, price.c.effective_from)
    return [Price.model_validate(dict(row)) for row in connection.execute(select(*columns).order_by(*order)).mappings()]


def insert_prices(connection: Connection, prices: Sequence[Price]) -> None:
    if prices:
        connection.execute(insert(price), [each.model_dump() for each in prices])


def replace_prices(connection: Connection, *, removed: Sequence[Price], added: Sequence[Price]) -> None:
    """Take prices out of the book and put others in."""
    for each in removed:
        connection.execute(
            delete(price).where(
                price.c.model == each.model,
                price.c.segment == each.segment,
                price.c.mode == each.mode,
                price.c.effective_from == each.effective_from,
            )
        )
    insert_prices(connection, added)


def load_baselines(connection: Connection) -> list[Baseline]:
    """Every baseline with its prices and token ratios, by name."""
    prices: dict[str, list[dict[str, Any]]] = {}
    for row in connection.execute(
        select(baseline_price).order_by(baseline_price.c.segment, baseline_price.c.effective_from)
    ).mappings():
        prices.setdefault(row["baseline"], []).append({name: row[name] for name in BaselinePrice.model_fields})
    ratios: dict[str, list[dict[str, Any]]] = {}
    for row in connection.execute(select(token_ratio).order_by(token_ratio.c.task)).mappings():
        ratios.setdefault(row["baseline"], []).append({name: row[name] for name in TokenRatio.model_fields})
    return [
        Baseline.model_validate(
            {name: row[name] for name in Baseline.model_fields if name in row}
            | {"prices": prices.get(row["name"], []), "token_ratios": ratios.get(row["name"], [])}
        )
        for row in connection.execute(select(baseline).order_by(baseline.c.name)).mappings()
    ]


def insert_baseline(connection: Connection, added: Baseline) -> None:
    connection.execute(insert(baseline), added.model_dump(exclude={"prices", "token_ratios"}))
    for table, rows in ((baseline_price, added.prices), (token_ratio, added.token_ratios)):
        if rows:
            connection.execute(insert(table), [{"baseline": added.name, **row.model_dump()} for row in rows])
