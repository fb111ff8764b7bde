"""What a tenant used and no statement has billed, in the database.

A month that is closed is settled: it has nothing left to bill, but for what came late and for what had no price. So
what is read grows with the open months and with those two, not with the tenant's history.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, DateTime, any_, func, literal, select, union, union_all
from sqlalchemy.dialects.postgresql import ARRAY

from kat.usage_event import Mode, Segment
from kat_metering.periods import Window
from kat_metering.prices import UsageLine
from kat_metering.rollup import RollUpState
from kat_metering.store.statement_rows import LastStatement
from kat_metering.store.statement_tables import statement_usage
from kat_metering.store.tables import late_hour, usage_hourly


@dataclass(frozen=True, slots=True)
class Settled:
    """All hours before `until` are settled, except for some."""

    until: datetime
    unsettled: Sequence[datetime]


def settled_hours(
    connection: Connection, tenant: str, last: LastStatement | None, state: RollUpState
) -> Settled | None:
    """What the tenant's last statement settled; None where nothing tells what has changed since.

    That is so without a statement, after a rebuild of the roll-up, and where the statement is older than the marks.
    `state` and `last` are of one snapshot.
    """
    if last is None or last.rollup_revision is None or last.rollup_revision < state.rebuilt_revision:
        return None
    end = last.statement.end
    changed = [
        select(late_hour.c.hour).where(
            late_hour.c.tenant == tenant, late_hour.c.revision > last.rollup_revision, late_hour.c.hour < end
        )
    ]
    hourly = usage_hourly.c
    for month, model in sorted({(each.month, each.model) for each in last.statement.unpriced}):
        window = Window.month(month)
        changed.append(
            select(hourly.hour).where(
                hourly.tenant == tenant,
                hourly.hour >= window.start,
                hourly.hour < window.end,
                hourly.model == model,
            )
        )
    return Settled(end, list(connection.execute(union(*changed)).scalars()))


def unbilled_usage(
    connection: Connection, tenant: str, *, before: datetime, settled: Settled | None = None
) -> list[UsageLine]:
    """A tenant's usage before a moment less what statements have billed, by hour. One statement, one snapshot.

    `settled`: hours that are not looked at, since they have nothing left to bill.
    """
    used, billed = usage_hourly.c, statement_usage.c
    both = union_all(
        *(
            select(used.hour, used.model, used.mode, *(used[name] for name in Segment)).where(
                used.tenant == tenant, *within
            )
            for within in _parts(used.hour, before, settled)
        ),
        *(
            select(billed.hour, billed.model, billed.mode, *((-billed[name]).label(name) for name in Segment)).where(
                billed.tenant == tenant, *within
            )
            for within in _parts(billed.hour, before, settled)
        ),
    ).subquery()
    key = (both.c.hour, both.c.model, both.c.mode)
    sums = [func.sum(both.c[name]).label(name) for name in Segment]
    return [
        UsageLine(row["model"], Mode(row["mode"]), row["hour"], {name: int(row[name]) for name in Segment})
        for row in connection.execute(select(*key, *sums).group_by(*key).order_by(*key)).mappings()
        if any(row[name] for name in Segment)
    ]


def _parts(hour: Any, before: datetime, settled: Settled | None) -> list[tuple[ColumnElement[bool], ...]]:
    # Disjoint, and each a range or a list of the index (tenant, hour): joined by OR they would be a scan of the tenant.
    if settled is None:
        return [(hour < before,)]
    parts: list[tuple[ColumnElement[bool], ...]] = [(hour >= settled.until, hour < before)]
    if settled.unsettled:
        hours = literal(list(settled.unsettled), ARRAY(DateTime(timezone=True)))
        parts.append((hour == any_(hours),))
    return parts
