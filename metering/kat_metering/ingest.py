"""Store a delivery: every event once, in one transaction. What is returned has been committed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import psycopg
import structlog
from sqlalchemy import Engine

from kat.usage_event import time_of
from kat_metering.event_rows import COLUMNS, copy_into, copy_rows
from kat_metering.intake import Intake, Rejection, items_of, reject
from kat_metering.store.partitions import archived_months, ensure_partitions, month_of
from kat_metering.store.tables import INGEST_ROLE

log = structlog.get_logger(__name__)

# The temporary table stays with the connection: a new one for each delivery would bloat the catalogue.
_CREATE_DELIVERY: Final = f"""
    CREATE TEMPORARY TABLE IF NOT EXISTS usage_event_delivery ON COMMIT DELETE ROWS
    AS SELECT {COLUMNS} FROM usage_event WITH NO DATA
"""  # noqa: S608 - made of constants
# In the order of the ids: two deliveries that share events then wait for each other, and never in a circle.
_INSERT: Final = f"""
    INSERT INTO usage_event ({COLUMNS}) SELECT {COLUMNS} FROM usage_event_delivery ORDER BY id
    ON CONFLICT (id) DO NOTHING
"""  # noqa: S608 - made of constants
# For one transaction: it can add events, and neither read money nor change a row.
_ACT_AS_INGEST: Final = f"SET LOCAL ROLE {INGEST_ROLE}"
_BURY: Final = (
    "INSERT INTO dead_letter (event_id, reason, body, sha256) VALUES (%s, %s, %s, %s) ON CONFLICT (sha256) DO NOTHING"
)

_SHOWN: Final = 3
_REFUSALS: Final = (psycopg.DataError, psycopg.IntegrityError)
_Write = Callable[[psycopg.Cursor[Any], list[str]], int]
"""Writes rows; how many were new."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a delivery: new + duplicate + rejected are all of its events."""

    new: int
    duplicate: int
    rejections: list[Rejection]


def store(engine: Engine, intake: Intake) -> Receipt:
    """Store what was taken in and keep what was rejected. Returns after the commit.

    Raises psycopg.Error or sqlalchemy.exc.SQLAlchemyError where the database is away: then nothing was stored.
    """
    with _connection(engine) as connection:
        try:
            return _store(connection, intake, _add)
        # COPY is not for roles that row-level security binds, where the server lets this one not pass it by.
        except (psycopg.errors.UniqueViolation, psycopg.errors.FeatureNotSupported):
            try:
                return _store(connection, intake, _merge)
            except _REFUSALS:
                pass
        except _REFUSALS:
            pass
    # A month without its partition, or an event that Postgres refuses although it is valid.
    intake = _with_partitions(engine, intake)
    with _connection(engine) as connection:
        try:
            return _store(connection, intake, _merge)
        except _REFUSALS:
            return _store(connection, _without_refused(connection, intake), _merge)


@contextmanager
def _connection(engine: Engine) -> Iterator[psycopg.Connection[Any]]:
    connection = engine.raw_connection()
    try:
        driver = connection.driver_connection
        if not isinstance(driver, psycopg.Connection):
            raise TypeError(f"the driver is {type(driver)}")
        yield driver
    finally:
        connection.close()


def _store(connection: psycopg.Connection[Any], intake: Intake, write: _Write) -> Receipt:
    rows = copy_rows([event for _, event in intake.events])
    try:
        with connection.cursor() as cursor:
            cursor.execute(_ACT_AS_INGEST)
            new = write(cursor, rows) if rows else 0
            _bury(cursor, intake.rejections)
        # Not a block of `connection.transaction()`: inside an open transaction that would be a savepoint, no commit.
        connection.commit()
    except BaseException:
        if not connection.closed:
            connection.rollback()
        raise
    return Receipt(new, len(intake.events) - new, intake.rejections)


def _add(cursor: psycopg.Cursor[Any], rows: list[str]) -> int:
    """Straight into the events' table: the quickest way, while no row is there yet."""
    with cursor.copy(copy_into("usage_event")) as copy:
        copy.write("".join(rows))
    return len(rows)


def _merge(cursor: psycopg.Cursor[Any], rows: list[str]) -> int:
    """Add the rows that are not there yet; how many those were."""
    cursor.execute(_CREATE_DELIVERY)
    with cursor.copy(copy_into("usage_event_delivery")) as copy:
        copy.write("".join(rows))
    return cursor.execute(_INSERT).rowcount


def _with_partitions(engine: Engine, intake: Intake) -> Intake:
    """See to the partitions of the events' months; an event of an archived month is rejected.

    Whether it was counted before can no longer be told, and counting it again would be the worse error.
    """
    months = {event.id: month_of(time_of(event.id)) for _, event in intake.events}
    ensure_partitions(engine, months.values())
    archived = archived_months(engine) & set(months.values())
    return _rejecting(
        intake,
        {
            index: f"time: {months[event.id]:%Y-%m} is archived; it takes no more events"
            for index, event in intake.events
            if months[event.id] in archived
        },
    )


def _without_refused(connection: psycopg.Connection[Any], intake: Intake) -> Intake:
    """The same delivery, with the events that Postgres refuses among the rejections."""
    reasons: dict[int, str] = {}
    for index, event in intake.events:
        try:
            with connection.transaction(force_rollback=True), connection.cursor() as cursor:
                _merge(cursor, copy_rows([event]))
        except _REFUSALS as error:
            reasons[index] = f"event: {error.diag.message_primary or error}"
    return _rejecting(intake, reasons)


def _rejecting(intake: Intake, reasons: Mapping[int, str]) -> Intake:
    """The same delivery, with the events at these places rejected."""
    if not reasons:
        return intake
    items = items_of(intake.body)
    log.warning("valid events are not stored", events=len(reasons), reasons=sorted(set(reasons.values()))[:_SHOWN])
    rejections = [*intake.rejections, *(reject(items[index], index, reason) for index, reason in reasons.items())]
    return replace(
        intake,
        events=[(index, event) for index, event in intake.events if index not in reasons],
        rejections=sorted(rejections, key=lambda rejection: rejection.index),
    )


def _bury(cursor: psycopg.Cursor[Any], rejections: Sequence[Rejection]) -> None:
    if not rejections:
        return
    letters = {hashlib.sha256(rejection.body.encode()).digest(): rejection for rejection in rejections}
    cursor.executemany(
        _BURY, [(letters[key].id, letters[key].reason, letters[key].body, key) for key in sorted(letters)]
    )
