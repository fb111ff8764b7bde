"""The charges of a month, read from the hourly roll-up through a server-side cursor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, Final

from sqlalchemy import Connection, func, select
from sqlalchemy.engine import RowMapping

from kat.usage_event import Mode, Segment, Status
from kat_metering.comparison import Requests
from kat_metering.exports.focus import ChargeKey, Charges, HourOfUsage
from kat_metering.prices import UsageLine
from kat_metering.store.tables import NO_API_KEY, tenant, usage_hourly
from kat_metering.token_ratios import Stratum

_ROWS_AT_ONCE: Final = 2_000
_KEY: Final = ("tenant", "hour", "project", "api_key_id", "model", "mode")
_STRATUM: Final = ("task", "prompt_bucket", "status")
_SUMS: Final = ("requests", "engine_seconds", *(segment.value for segment in Segment))


def focus_rows(connection: Connection, whose: str | None, charges: Charges) -> Iterator[dict[str, Any]]:
    """A row for each tenant, project, key, SKU, mode and hour of the month, in order of tenant and time.

    `whose` None: every tenant. Memory does not grow with the month.
    """
    hourly = usage_hourly.c
    keys = [hourly[name] for name in (*_KEY, *_STRATUM)]
    statement = (
        select(*keys, *(func.sum(hourly[name]).label(name) for name in _SUMS))
        .where(hourly.hour >= charges.month.start, hourly.hour < charges.month.end)
        .group_by(*keys)
        .order_by(*keys)
        .execution_options(stream_results=True, yield_per=_ROWS_AT_ONCE)
    )
    if whose is not None:
        statement = statement.where(hourly.tenant == whose)
    for _, rows in groupby(connection.execute(statement).mappings(), key=_key):
        yield from charges.of(_hour(rows))


def tenant_names(connection: Connection) -> dict[str, str]:
    """The names of the tenants that the connection may see."""
    return {row.id: row.name for row in connection.execute(select(tenant.c.id, tenant.c.name))}


def _key(row: RowMapping) -> tuple[Any, ...]:
    return tuple(row[name] for name in _KEY)


def _hour(rows: Iterable[RowMapping]) -> HourOfUsage:
    found = list(rows)
    first = found[0]
    mode = Mode(first["mode"])
    return HourOfUsage(
        key=ChargeKey(
            tenant=first["tenant"],
            hour=first["hour"],
            project=first["project"],
            api_key_id=None if first["api_key_id"] == NO_API_KEY else str(first["api_key_id"]),
            model=first["model"],
            mode=mode,
        ),
        requests=[_requests(row, mode) for row in found],
        engine_seconds=sum(row["engine_seconds"] for row in found),
    )


def _requests(row: RowMapping, mode: Mode) -> Requests:
    return Requests(
        count=int(row["requests"]),
        stratum=Stratum(row["model"], mode, row["task"], row["prompt_bucket"]),
        status=Status(row["status"]),
        usage=UsageLine(row["model"], mode, row["hour"], {segment: int(row[segment]) for segment in Segment}),
    )
