"""Changing the price book in the database: import, re-rating, versions, and what a change would do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection

from kat_metering.money import Money
from kat_metering.periods import Window
from kat_metering.price_changes import price_change
from kat_metering.price_checks import problems
from kat_metering.price_diff import PriceDifference, changes_of_closed_months, differences
from kat_metering.price_files import PriceFileError
from kat_metering.price_rerating import rerated
from kat_metering.prices import Price, PriceBook, UsageLine
from kat_metering.savings_report import Dimension
from kat_metering.store.price_rows import load_prices, lock_prices, replace_prices
from kat_metering.store.price_versions import record_version
from kat_metering.store.statement_rows import closed_months
from kat_metering.usage import UsageQuery, hourly_usage


class CostImpact(BaseModel):
    """What a change of prices does to a tenant's cost, before discounts, over the hours that it touches."""

    model_config = ConfigDict(frozen=True)

    tenant: str
    cost_before: Money
    cost_after: Money


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of the price book."""

    before: list[Price]
    after: list[Price]
    differences: list[PriceDifference]
    impact: list[CostImpact]
    warnings: list[str]


def edit_prices(connection: Connection, incoming: Sequence[Price], *, rerate: bool, apply: bool, now: datetime) -> Edit:
    """Import prices, or re-rate with them; `apply` False only tells what that would do.

    All or nothing, and no price that was in force in a closed month changes. Raises PriceFileError.
    """
    if apply:
        lock_prices(connection)
    before = load_prices(connection)
    warnings: list[str] = []
    if rerate:
        after = rerated(before, incoming)
        warnings = [problem.message for problem in problems(after) if problem.severity == "warning"]
    else:
        change = price_change(before, incoming, now=now)
        ended = {(each.model, each.segment, each.mode, each.effective_from): each for each in change.ended}
        after = [ended.get((each.model, each.segment, each.mode, each.effective_from), each) for each in before]
        after += change.added
        warnings = change.warnings
    closed = [Window.month(f"{month:%Y-%m}") for month in closed_months(connection)]
    if found := changes_of_closed_months(before, after, incoming, closed):
        raise PriceFileError(found)
    changed = differences(before, after)
    impact = _impact(connection, before, after, changed, now=now) if rerate or not apply else []
    if apply and changed:
        replace_prices(
            connection,
            removed=[each.before for each in changed if each.before is not None],
            added=[each.after for each in changed if each.after is not None],
        )
        record_version(connection, before=before, after=after, kind="rerate" if rerate else "import", now=now)
    return Edit(before, after, changed, impact, warnings)


def _impact(
    connection: Connection,
    before: Sequence[Price],
    after: Sequence[Price],
    changed: Sequence[PriceDifference],
    *,
    now: datetime,
) -> list[CostImpact]:
    """By tenant, from the first hour touched until now; tenants whose cost stays the same are left out."""
    starts = [price.effective_from for each in changed for price in (each.before, each.after) if price is not None]
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    if not starts or min(starts) > this_hour:
        return []
    old, new = PriceBook(before), PriceBook(after)
    query = UsageQuery(Window(min(starts), this_hour + timedelta(hours=1)), None, (Dimension.TENANT,))
    usage: dict[str, list[UsageLine]] = defaultdict(list)
    for group, requests in hourly_usage(connection, query, sorted({*old.boundaries, *new.boundaries})):
        usage[str(group.tenant)].append(requests.usage)
    costs = [(tenant, old.rate(lines).cost, new.rate(lines).cost) for tenant, lines in sorted(usage.items())]
    return [
        CostImpact(tenant=tenant, cost_before=was, cost_after=becomes)
        for tenant, was, becomes in costs
        if was != becomes
    ]
