"""Where tenants and keys stand in their monthly budgets. Months are calendar months in UTC."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select

from kat.directory import Budget, BudgetState
from kat_metering.errors import MeteringError
from kat_metering.money import plain
from kat_metering.periods import Window
from kat_metering.prices import Price, PriceBook, UsageLine
from kat_metering.rollup import read_state
from kat_metering.savings_report import Dimension
from kat_metering.store.price_rows import load_prices
from kat_metering.store.tables import api_key, tenant
from kat_metering.usage import UsageQuery, hourly_usage


def budget_state(*, monthly: Decimal, spent: Decimal, think_off_at: Decimal) -> BudgetState:
    """The state after spending so much of a budget. A budget of 0 is exhausted from the start."""
    if spent >= monthly:
        return BudgetState.EXHAUSTED
    if spent >= monthly * think_off_at:
        return BudgetState.THINK_OFF
    return BudgetState.OK


def budget(*, monthly: Decimal, spent: Decimal, think_off_at: Decimal, currency: str) -> Budget:
    return Budget(
        monthly=Decimal(plain(monthly)),
        currency=currency,
        spent=Decimal(plain(spent)),
        think_off_at=Decimal(plain(think_off_at)),
        state=budget_state(monthly=monthly, spent=spent, think_off_at=think_off_at),
    )


@dataclass(frozen=True, slots=True)
class Spent:
    """Cost by tenant and by key; who used nothing is missing."""

    tenants: Mapping[str, Decimal]
    keys: Mapping[UUID, Decimal]
    unpriced_tokens: int = 0
    """They are in no cost."""


def budgets_by_state(connection: Connection, spent: Spent) -> Counter[BudgetState]:
    """How many monthly budgets, of tenants and of keys that are not revoked, are in which state."""
    of_tenants = select(tenant.c.id, tenant.c.monthly_budget, tenant.c.think_off_at)
    of_keys = select(api_key.c.id, api_key.c.monthly_budget, api_key.c.think_off_at).where(
        api_key.c.revoked_at.is_(None)
    )
    spendings: tuple[Mapping[Any, Decimal], ...] = (spent.tenants, spent.keys)
    return Counter(
        budget_state(monthly=monthly, spent=of_each.get(owner, Decimal(0)), think_off_at=think_off_at)
        for budgets, of_each in zip((of_tenants, of_keys), spendings, strict=True)
        for owner, monthly, think_off_at in connection.execute(budgets)
        if monthly is not None
    )


@dataclass(slots=True)
class Spending:
    """What each tenant and key spent this month. Computed once for each state of the roll-up: predictors ask every few seconds.

    Usage without a price is not in it.
    """

    currency: str
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _key: tuple[object, ...] | None = None
    _spent: Spent = field(default_factory=lambda: Spent({}, {}))

    def this_month(self, connection: Connection, now: datetime) -> Spent:
        """What was spent since the first of the month.

        Raises MeteringError where prices are in another currency than budgets.
        """
        window = Window.month(f"{now:%Y-%m}")
        prices = load_prices(connection)
        key = (window, read_state(connection).revision, tuple(prices))
        with self._lock:
            if key == self._key:
                return self._spent
        spent = _spent(connection, window, prices, self.currency)
        with self._lock:
            self._key, self._spent = key, spent
        return spent


def _spent(connection: Connection, window: Window, prices: list[Price], currency: str) -> Spent:
    book = PriceBook(prices)
    if book.currency not in {None, currency}:
        raise MeteringError(f"Prices are in {book.currency}, budgets in {currency}: set KAT_CURRENCY.")
    lines: dict[tuple[str, UUID | None], list[UsageLine]] = defaultdict(list)
    query = UsageQuery(window, tenant=None, group_by=(Dimension.TENANT, Dimension.API_KEY_ID))
    for group, requests in hourly_usage(connection, query, book.boundaries):
        lines[str(group.tenant), group.api_key_id].append(requests.usage)
    tenants: dict[str, Decimal] = defaultdict(Decimal)
    keys: dict[UUID, Decimal] = defaultdict(Decimal)
    unpriced_tokens = 0
    for (of_tenant, key), usage in lines.items():
        # Exact, so that a tenant's cost is the sum of its keys'.
        rated = book.rate(usage)
        tenants[of_tenant] += rated.cost
        unpriced_tokens += rated.unpriced_tokens
        if key is not None:
            keys[key] += rated.cost
    return Spent(dict(tenants), dict(keys), unpriced_tokens)
