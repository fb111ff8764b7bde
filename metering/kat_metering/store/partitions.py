"""Monthly partitions of `usage_event`. Their bounds are UUIDv7s, so the id alone says where an event belongs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, Engine, select, text

from kat_metering.store.tables import usage_archive

_PARTITION_LOCK: Final = 0x6B61_7402
_BEHIND: Final = 2
_AHEAD: Final = 2

_ATTACHED: Final = text("""
    SELECT relname FROM pg_class
    WHERE oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'usage_event'::regclass)
""")


def first_id_at(moment: datetime) -> UUID:
    """The lower bound of the UUIDv7s minted at this moment or later (RFC 9562: milliseconds in the first 48 bits)."""
    return UUID(int=round(moment.timestamp() * 1000) << 80)


def month_of(moment: datetime) -> datetime:
    """The start of the month, in UTC."""
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def month_after(month: datetime, months: int = 1) -> datetime:
    """The start of the month so many months later (or earlier, for a negative number)."""
    years, index = divmod(month.month - 1 + months, 12)
    return month.replace(year=month.year + years, month=index + 1)


def months_around(now: datetime) -> list[datetime]:
    """The months that have a partition before an event asks for one."""
    return [month_after(month_of(now), offset) for offset in range(-_BEHIND, _AHEAD + 1)]


def partition_name(month: datetime) -> str:
    return f"usage_event_{month:%Y_%m}"


def month_named(partition: str) -> datetime:
    """The month of a partition."""
    return datetime.strptime(partition, "usage_event_%Y_%m").replace(tzinfo=UTC)


def partitions(connection: Connection) -> set[str]:
    """The names of the partitions that events can be stored in."""
    return set(connection.execute(_ATTACHED).scalars())


def lock_partitions(connection: Connection) -> None:
    """Let nobody else create or detach partitions until the transaction ends."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _PARTITION_LOCK})


def archived_months(engine: Engine) -> set[datetime]:
    """The months that take no more events."""
    with engine.connect() as connection:
        return _archived(connection)


def _archived(connection: Connection) -> set[datetime]:
    return {month.astimezone(UTC) for month in connection.execute(select(usage_archive.c.month)).scalars()}


def ensure_partitions(engine: Engine, months: Iterable[datetime]) -> list[str]:
    """Create the partitions that are missing, but none of an archived month; returns their names.

    Neither readers nor writers are blocked by it.
    """
    wanted = {partition_name(month): month for month in sorted(set(months))}
    if not wanted:
        return []
    created: list[str] = []
    with engine.begin() as connection:
        if wanted.keys() <= partitions(connection):
            return []
        lock_partitions(connection)
        present = partitions(connection) | {partition_name(month) for month in _archived(connection)}
        for name, month in wanted.items():
            if name in present:
                continue
            # Attaching takes a weaker lock on the parent than CREATE TABLE … PARTITION OF, which waits for every
            # transaction that reads or writes usage.
            connection.execute(text(f"CREATE TABLE {name} (LIKE usage_event INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"))
            connection.execute(
                text(
                    f"ALTER TABLE usage_event ATTACH PARTITION {name} "
                    f"FOR VALUES FROM ('{first_id_at(month)}') TO ('{first_id_at(month_after(month))}')"
                )
            )
            created.append(name)
    return created
