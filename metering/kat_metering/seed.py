"""The prices and baselines that a fresh database starts with."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from kat_metering.defaults import default_baselines, default_prices
from kat_metering.store.price_rows import insert_baseline, insert_prices, lock_prices
from kat_metering.store.tables import baseline, price


@dataclass(frozen=True, slots=True)
class Seeded:
    """How many rows were added; 0 where there were some already."""

    prices: int
    baselines: int


def seed_defaults(connection: Connection, *, currency: str) -> Seeded:
    """Insert default prices and baselines, each only where the table is empty. Services that start together take turns.

    Nothing is added where `currency` is not the defaults': amounts in another currency would be made up.
    """
    lock_prices(connection)
    prices = [each for each in default_prices() if each.currency == currency]
    baselines = [each for each in default_baselines() if {p.currency for p in each.prices} == {currency}]
    if connection.scalar(select(func.count()).select_from(price)):
        prices = []
    if connection.scalar(select(func.count()).select_from(baseline)):
        baselines = []
    insert_prices(connection, prices)
    for each in baselines:
        insert_baseline(connection, each)
    return Seeded(len(prices), len(baselines))
