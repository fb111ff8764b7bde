"""Old months leave the database: detached from `usage_event`, written to a Parquet file, read back, then dropped.

Each step is committed before the next, and a run that was cut off is taken up where it was. From the moment a month is
detached it takes no more events: what of it comes late cannot be told from what was counted, and is rejected. Its
hours stay in the roll-up.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psycopg
import structlog
from sqlalchemy import Connection, Engine, Table, func, insert, select, text, update
from sqlalchemy.engine import Row
from sqlalchemy.exc import OperationalError

from kat.usage_event import Segment
from kat_metering.errors import RetentionError
from kat_metering.event_archive import Totals, archive_totals, write_archive
from kat_metering.rollup import lock_rollup, roll_up
from kat_metering.store.engine import without_time_limit
from kat_metering.store.partitions import (
    first_id_at,
    lock_partitions,
    month_after,
    month_named,
    month_of,
    partition_name,
    partitions,
)
from kat_metering.store.tables import rollup_state, usage_archive, usage_event, usage_hourly

log = structlog.get_logger(__name__)

_RETENTION_LOCK: Final = 0x6B61_7404
_LOCK_WAIT: Final = "5s"
"""How long the ingest may be held up by waiting for a long report to let go of the table."""


@dataclass(frozen=True, slots=True)
class OldMonth:
    """A month that is to leave the database."""

    month: datetime
    totals: Totals
    detached: bool
    """An earlier run was cut off; its events are in a table of their own."""


@dataclass(frozen=True, slots=True)
class Archived:
    """A month that has left the database."""

    month: datetime
    totals: Totals
    file: Path
    sha256: str


def old_months(engine: Engine, *, keep_months: int, now: datetime) -> list[OldMonth]:
    """The months with events in the database that are older than this one and the `keep_months` before it."""
    oldest_kept = month_after(month_of(now), -keep_months)
    with engine.connect() as connection:
        without_time_limit(connection)
        attached = [month for month in map(month_named, partitions(connection)) if month < oldest_kept]
        cut_off = connection.execute(select(usage_archive).where(usage_archive.c.dropped_at.is_(None))).all()
        found = [OldMonth(month, _totals_of_events(connection, month), detached=False) for month in attached]
    found += [OldMonth(row.month.astimezone(UTC), _recorded(row), detached=True) for row in cut_off]
    return sorted(found, key=lambda old: old.month)


def archive(engine: Engine, old: OldMonth, folder: Path) -> Archived:
    """Move a month into a file of the folder. Returns when the file has been read back and the rows are dropped.

    Raises RetentionError where the roll-up, the events and the file do not agree to the last token: then the rows
    stay where they are.
    """
    file = (folder / f"{partition_name(old.month)}.parquet").absolute()
    if not old.detached:
        if file.exists():
            raise RetentionError(f"{file} exists, and is not of this database.")
        roll_up(engine)
        _check_rollup(engine, old.month)
        _detach(engine, old.month)
    return _write_and_drop(engine, old.month, file)


def _check_rollup(engine: Engine, month: datetime) -> None:
    # Before the month is closed, since its hours cannot be computed again afterwards.
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        without_time_limit(connection)
        if not _is_rolled_up(connection, month):
            raise RetentionError(f"{month:%Y-%m} has events that the roll-up has not come to yet. Try again.")
        rolled_up, events = _totals_of_rollup(connection, month), _totals_of_events(connection, month)
    if rolled_up != events:
        raise RetentionError(
            f"The roll-up of {month:%Y-%m} says {rolled_up}; its events say {events}. Run `kat metering rebuild` first."
        )


def _detach(engine: Engine, month: datetime) -> None:
    name = partition_name(month)
    try:
        with engine.begin() as connection:
            lock_partitions(connection)
            lock_rollup(connection)
            totals = _totals_of_rollup(connection, month)
            connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}'"))
            # The parent first, as the ingest does: the other way round, the two would wait for each other.
            connection.execute(text("LOCK TABLE ONLY usage_event IN ACCESS EXCLUSIVE MODE"))
            if not _is_rolled_up(connection, month):
                raise RetentionError(f"{month:%Y-%m} has events that the roll-up has not come to yet. Try again.")
            connection.execute(text(f"ALTER TABLE usage_event DETACH PARTITION {name}"))
            connection.execute(
                insert(usage_archive).values(
                    month=month,
                    requests=totals.requests,
                    engine_seconds=totals.engine_seconds,
                    **dict(zip(Segment, totals.tokens, strict=True)),
                )
            )
    except OperationalError as error:
        if isinstance(error.orig, psycopg.errors.LockNotAvailable):
            raise RetentionError(
                f"The events of {month:%Y-%m} are in use, by a long report perhaps. Try again."
            ) from error
        raise
    log.info("month detached", month=f"{month:%Y-%m}", totals=str(totals))


def _write_and_drop(engine: Engine, month: datetime, file: Path) -> Archived:
    name = partition_name(month)
    part = file.with_name(f"{file.name}.part")
    with engine.begin() as connection:
        without_time_limit(connection)
        # One run at a time. No lock on the row: that would take a transaction number and hold up the roll-up.
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _RETENTION_LOCK})
        row = connection.execute(select(usage_archive).where(usage_archive.c.month == month)).one()
        if row.dropped_at is not None:
            raise RetentionError(f"{month:%Y-%m} was archived meanwhile.")
        driver = connection.connection.driver_connection
        if not isinstance(driver, psycopg.Connection):
            raise TypeError(f"the driver is {type(driver)}")
        write_archive(driver, name, part)
        wanted, found = _recorded(row), archive_totals(part)
        if found != wanted:
            raise RetentionError(f"{part} holds {found}; {month:%Y-%m} is {wanted}. The rows stay in the table {name}.")
        with part.open("rb") as opened:
            sha256 = hashlib.file_digest(opened, "sha256")
        _rename(part, file)
        connection.execute(
            update(usage_archive)
            .where(usage_archive.c.month == month)
            .values(file=str(file), sha256=sha256.digest(), dropped_at=func.now())
        )
        connection.execute(text(f"DROP TABLE {name}"))
    log.info("month archived", month=f"{month:%Y-%m}", file=str(file), sha256=sha256.hexdigest())
    return Archived(month, wanted, file, sha256.hexdigest())


def _rename(part: Path, file: Path) -> None:
    """Give the file its name, durably: the rows are dropped next."""
    part.replace(file)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _is_rolled_up(connection: Connection, month: datetime) -> bool:
    later = usage_event.c.stored_xid >= select(rollup_state.c.next_xid).scalar_subquery()
    return not connection.execute(select(usage_event.c.id).where(*_of(month), later).limit(1)).all()


def _of(month: datetime) -> Iterator[Any]:
    yield usage_event.c.id >= first_id_at(month)
    yield usage_event.c.id < first_id_at(month_after(month))


def _totals_of_events(connection: Connection, month: datetime) -> Totals:
    return _recorded(
        connection.execute(select(func.count().label("requests"), *_sums(usage_event)).where(*_of(month))).one()
    )


def _totals_of_rollup(connection: Connection, month: datetime) -> Totals:
    hourly = usage_hourly.c
    requests = func.coalesce(func.sum(hourly.requests), 0).label("requests")
    within = (hourly.hour >= month, hourly.hour < month_after(month))
    return _recorded(connection.execute(select(requests, *_sums(usage_hourly)).where(*within)).one())


def _sums(table: Table) -> Iterator[Any]:
    for name in (*Segment, "engine_seconds"):
        yield func.coalesce(func.sum(table.c[name]), 0).label(name)


def _recorded(row: Row[Any]) -> Totals:
    values = row._mapping  # noqa: SLF001 - SQLAlchemy's public name for it
    return Totals(int(values["requests"]), tuple(int(values[name]) for name in Segment), values["engine_seconds"])
