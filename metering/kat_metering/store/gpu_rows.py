"""GPU time in the database: what replicas held, and what requests made of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import insert

from kat_metering.gpu_cost import Busy, Capacity
from kat_metering.store.gpu_tables import replica_hour
from kat_metering.store.partitions import first_id_at
from kat_metering.store.tables import usage_event


def record_hours(connection: Connection, hours: Sequence[Capacity], *, currency: str) -> None:
    """Add replica hours, each of them named once; one that is there already is replaced, so that it may grow."""
    columns = ("source", "hour", "gpus", "seconds", "gpu_hour_price")
    rows = [{name: getattr(each, name) for name in columns} | {"currency": currency} for each in hours]
    added = insert(replica_hour).values(rows)
    changed = {name: added.excluded[name] for name in ("gpus", "seconds", "gpu_hour_price", "currency")}
    connection.execute(
        added.on_conflict_do_update(
            index_elements=["source", "hour"], set_={**changed, "recorded_at": func.clock_timestamp()}
        )
    )


def load_capacity(connection: Connection, start: datetime, end: datetime) -> list[Capacity]:
    """The replica hours from `start` to `end` (exclusive)."""
    columns = [replica_hour.c[name] for name in ("source", "hour", "gpus", "seconds", "gpu_hour_price")]
    within = select(*columns).where(replica_hour.c.hour >= start, replica_hour.c.hour < end)
    return [Capacity(**row) for row in connection.execute(within).mappings()]


def load_busy(connection: Connection, start: datetime, end: datetime) -> list[Busy]:
    """The engine seconds of requests that began from `start` to `end` (exclusive), by replica, hour and tenant."""
    event = usage_event.c
    key = (event.source, func.date_trunc("hour", event.occurred_at, "UTC").label("hour"), event.tenant)
    within = (
        select(*key, func.sum(event.engine_seconds).label("engine_seconds"))
        .where(event.id >= first_id_at(start), event.id < first_id_at(end))
        .group_by(*key)
    )
    return [Busy(**row) for row in connection.execute(within).mappings()]
