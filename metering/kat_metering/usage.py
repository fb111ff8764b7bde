"""What was used and what it cost, from the roll-up, at the prices in force in each hour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, Date, DateTime, Subquery, and_, cast, func, literal, or_, select, union_all
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import RowMapping
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.elements import ColumnElement, KeyedColumnElement

from kat.usage_event import Mode, Segment, Status
from kat_metering.comparison import Requests
from kat_metering.money import Money
from kat_metering.periods import Window
from kat_metering.prices import PriceBook, UsageLine
from kat_metering.savings_report import Dimension, Group
from kat_metering.store.tables import NO_API_KEY, rollup_state, usage_daily, usage_hourly
from kat_metering.token_ratios import Stratum

_DAY: Final = timedelta(days=1)
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
    used = _within(query.window, boundaries, by_hour=Dimension.HOUR in query.group_by).c
    groups = [_column(used, dimension).label(f"group_{dimension}") for dimension in query.group_by]
    strata = [used.model, used.mode, used.task, used.prompt_bucket, used.status]
    epoch = func.width_bucket(used.hour, cast(literal(list(boundaries), _MOMENTS), _MOMENTS))
    sums = [func.sum(used[segment]).label(segment) for segment in Segment]
    statement = (
        select(*groups, *strata, func.min(used.hour).label("hour"), func.sum(used.requests).label("requests"), *sums)
        .group_by(*groups, *strata, epoch)
        .order_by(*groups, *strata, epoch)
    )
    if query.tenant is not None:
        statement = statement.where(used.tenant == query.tenant)
    for row in connection.execute(statement).mappings():
        yield Group(**{dimension: _value(row, dimension) for dimension in query.group_by}), _requests(row)


def _within(window: Window, boundaries: Sequence[datetime], *, by_hour: bool) -> Subquery:
    """What was used in the window: whole days where no price changes during the day, hours for the rest."""
    first = window.start + (_midnight(window.start) - window.start) % _DAY
    last = _midnight(window.end)
    parted = {_midnight(moment) for moment in boundaries if moment != _midnight(moment) and first <= moment < last}
    names = [column.name for column in usage_hourly.c if column.name != "hour"]
    hour, day = usage_hourly.c.hour, usage_daily.c.day
    hours = select(hour, *(usage_hourly.c[name] for name in names)).where(hour >= window.start, hour < window.end)
    if by_hour or first >= last:
        return hours.subquery("used")
    rest = or_(hour < first, hour >= last, *(and_(hour >= start, hour < start + _DAY) for start in parted))
    days = select(day.label("hour"), *(usage_daily.c[name] for name in names)).where(
        day >= first, day < last, day.not_in(parted)
    )
    return union_all(days, hours.where(rest)).subquery("used")


def _midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _column(used: ReadOnlyColumnCollection[str, KeyedColumnElement[Any]], dimension: Dimension) -> ColumnElement[Any]:
    if dimension is Dimension.DAY:
        return cast(func.timezone("UTC", used.hour), Date)
    return used[dimension]


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
