"""The rows of an export: one for each usage event of a tenant's month, rated, in order of time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection, select
from sqlalchemy.engine import RowMapping

from kat.usage_event import Segment
from kat_metering.periods import Window
from kat_metering.prices import PriceBook
from kat_metering.request_report import as_requests
from kat_metering.store.partitions import first_id_at
from kat_metering.store.tables import usage_event

_EVENTS_AT_ONCE = 2_000
_READ: Final = (
    "id",
    "occurred_at",
    "tenant",
    "project",
    "api_key_id",
    "model",
    "mode",
    "mode_source",
    "source",
    "status",
    "finish_reason",
    "task",
    *(segment.value for segment in Segment),
)


def export_rows(connection: Connection, tenant: str, month: Window, prices: PriceBook) -> Iterator[dict[str, Any]]:
    """Read through a server-side cursor: memory does not grow with the month.

    `cost` is exact, None where tokens were used and none has a price; `currency` goes with it.
    """
    event = usage_event.c
    statement = (
        select(*(event[name] for name in _READ))
        .where(event.tenant == tenant, event.id >= first_id_at(month.start), event.id < first_id_at(month.end))
        .order_by(event.id)
        .execution_options(stream_results=True, yield_per=_EVENTS_AT_ONCE)
    )
    for row in connection.execute(statement).mappings():
        yield _row(row, prices)


def _row(event: RowMapping, prices: PriceBook) -> dict[str, Any]:
    rated = prices.rate([as_requests(event).usage])
    cost = rated.cost_or_none
    values = dict(event)
    time = values.pop("occurred_at")
    return {
        **values,
        "id": str(event["id"]),
        "time": time,
        "api_key_id": None if event["api_key_id"] is None else str(event["api_key_id"]),
        "cost": cost,
        "currency": None if cost is None else prices.currency,
        "unpriced_tokens": rated.unpriced_tokens,
    }
