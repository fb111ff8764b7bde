"""What was used and what it cost, from the hourly roll-up, at the prices in force in each hour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, Date, DateTime, cast, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import RowMapping
from sqlalchemy.sql.elements import ColumnElement

from kat.usage_event import Mode, Segment, Status
from kat_metering.comparison import Requests
from kat_metering.money import Money
from kat_metering.periods import Window
from kat_metering.prices import PriceBook, UsageLine
from kat_metering.savings_report import Dimension, Group
from kat_metering.store.tables import NO_API_KEY, rollup_state, usage_hourly
from kat_metering.token_ratios import Stratum

_MOMENTS = ARRAY(DateTime(timezone=True))


class UsageTotals(BaseModel):
    """What some requests used, and its cost."""

    model_config = ConfigDict(frozen=True)

    requests: int
    tokens: dict[Segment, int]
    cost: Money | None
    """Of the tokens that have a price, exactly; None where there are tokens and none of them has one."""
    currency: str | None
    unpriced_tokens: int
    """Not in the cost: no price was in force for them."""


class UsageRow(UsageTotals, Group):
    """The usage of one group."""


class UsageReport(BaseModel):
    """Usage in a window, by group and in total."""

    model_config = ConfigDict(frozen=True)

    start: Annotated[datetime, Field(serialization_alias="from")]
    end: Annotated[datetime, Field(serialization_alias="to")]
    """Exclusive."""
    as_of: datetime | None
    """Usage acknowledged before this moment is in the report."""
    rows: list[UsageRow]
    totals: UsageTotals


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """Whose usage, when, grouped by what. `tenant` None: everybody's."""

    window: Window
    tenant: str | None
    group_by: tuple[Dimension, ...]


@dataclass(slots=True)
class _Sum:
    requests: int
    lines: list[UsageLine]

    def totals(self, prices: PriceBook) -> UsageTotals:
        rated = prices.rate(self.lines)
        return UsageTotals(
            requests=self.requests,
            tokens={segment: sum(line.tokens[segment] for line in self.lines) for segment in Segment},
            cost=rated.cost_or_none,
            currency=prices.currency,
            unpriced_tokens=rated.unpriced_tokens,
        )


def usage_report(connection: Connection, query: UsageQuery, prices: PriceBook) -> UsageReport:
    """Usage by group, ordered by group. `connection` decides which tenants' rows there are to see."""
    total = _Sum(0, [])
    groups: dict[Group, _Sum] = {}
    for group, requests in hourly_usage(connection, query, prices.boundaries):
        for each in (total, groups.setdefault(group, _Sum(0, []))):
            each.requests += requests.count
            each.lines.append(requests.usage)
    return UsageReport(
        start=query.window.start,
        end=query.window.end,
        as_of=rollup_as_of(connection),
        rows=[
            UsageRow(**group.model_dump(exclude_unset=True), **dict(each.totals(prices)))
            for group, each in groups.items()
        ],
        totals=total.totals(prices),
    )


def rollup_as_of(connection: Connection) -> datetime | None:
    """Usage acknowledged before this moment is in the roll-up."""
    return connection.scalar(select(rollup_state.c.as_of))


def hourly_usage(
    connection: Connection, query: UsageQuery, boundaries: Sequence[datetime]
) -> Iterator[tuple[Group, Requests]]:
    """Usage by group, stratum and status, summed over hours that share every price: `boundaries` part them."""
    hourly = usage_hourly.c
    groups = [_column(dimension).label(f"group_{dimension}") for dimension in query.group_by]
    strata = [hourly.model, hourly.mode, hourly.task, hourly.prompt_bucket, hourly.status]
    epoch = func.width_bucket(hourly.hour, cast(literal(list(boundaries), _MOMENTS), _MOMENTS))
    sums = [func.sum(hourly[segment]).label(segment) for segment in Segment]
    statement = (
        select(
            *groups, *strata, func.min(hourly.hour).label("hour"), func.sum(hourly.requests).label("requests"), *sums
        )
        .where(hourly.hour >= query.window.start, hourly.hour < query.window.end)
        .group_by(*groups, *strata, epoch)
        .order_by(*groups, *strata, epoch)
    )
    if query.tenant is not None:
        statement = statement.where(hourly.tenant == query.tenant)
    for row in connection.execute(statement).mappings():
        yield Group(**{dimension: _value(row, dimension) for dimension in query.group_by}), _requests(row)


def _column(dimension: Dimension) -> ColumnElement[Any]:
    if dimension is Dimension.DAY:
        return cast(func.timezone("UTC", usage_hourly.c.hour), Date)
    return usage_hourly.c[dimension]


def _value(row: RowMapping, dimension: Dimension) -> Any:
    value = row[f"group_{dimension}"]
    return None if dimension is Dimension.API_KEY_ID and value == NO_API_KEY else value


def _requests(row: RowMapping) -> Requests:
    mode = Mode(row["mode"])
    return Requests(
        count=int(row["requests"]),
        stratum=Stratum(row["model"], mode, row["task"], row["prompt_bucket"]),
        status=Status(row["status"]),
        # Any hour of the epoch stands for all of them: no price changes between.
        usage=UsageLine(row["model"], mode, row["hour"], {segment: int(row[segment]) for segment in Segment}),
    )
