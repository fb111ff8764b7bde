"""Store a delivery: every event once, in one transaction. What is returned has been committed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, LiteralString

import orjson
import psycopg
import structlog
from sqlalchemy import Engine

from kat.usage_event import UsageEvent
from kat_metering.intake import Intake, Rejection, items_of, reject
from kat_metering.store.partitions import ensure_partitions, month_of

log = structlog.get_logger(__name__)

TASK_LABEL: Final = "task"
"""The label that names the class of task a request belongs to."""

_COLUMNS: Final = (
    "id, occurred_at, tenant, api_key_id, project, model, mode, mode_source, status, finish_reason,"
    " prompt, prompt_cached, judge, think, answer, control, ttft_ms, ttfa_ms, duration_ms, engine_seconds,"
    " task, labels, source"
)
# The temporary table stays with the connection: a new one for each delivery would bloat the catalogue.
_CREATE_DELIVERY: Final = f"""
    CREATE TEMPORARY TABLE IF NOT EXISTS usage_event_delivery ON COMMIT DELETE ROWS
    AS SELECT {_COLUMNS} FROM usage_event WITH NO DATA
"""  # noqa: S608 - made of constants
# In the order of the ids: two deliveries that share events then wait for each other, and never in a circle.
_INSERT: Final = f"""
    INSERT INTO usage_event ({_COLUMNS}) SELECT {_COLUMNS} FROM usage_event_delivery ORDER BY id
    ON CONFLICT (id) DO NOTHING
"""  # noqa: S608 - made of constants
_BURY: Final = (
    "INSERT INTO dead_letter (event_id, reason, body, sha256) VALUES (%s, %s, %s, %s) ON CONFLICT (sha256) DO NOTHING"
)


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
    connection = engine.raw_connection()
    try:
        driver = connection.driver_connection
        if not isinstance(driver, psycopg.Connection):
            raise TypeError(f"the driver is {type(driver)}")
        try:
            return _store(driver, intake)
        except (psycopg.DataError, psycopg.IntegrityError):
            # A month without its partition, or an event that Postgres refuses although it is valid.
            ensure_partitions(engine, {month_of(event.time) for _, event in intake.events})
            return _store(driver, _without_refused(driver, intake))
    finally:
        connection.close()


def _store(connection: psycopg.Connection[Any], intake: Intake) -> Receipt:
    unique = {event.id: event for _, event in intake.events}
    try:
        with connection.cursor() as cursor:
            new = _insert(cursor, list(unique.values()))
            _bury(cursor, intake.rejections)
        # Not a block of `connection.transaction()`: inside an open transaction that would be a savepoint, no commit.
        connection.commit()
    except BaseException:
        if not connection.closed:
            connection.rollback()
        raise
    return Receipt(new, len(intake.events) - new, intake.rejections)


def _without_refused(connection: psycopg.Connection[Any], intake: Intake) -> Intake:
    """The same delivery, with the events that Postgres refuses among the rejections."""
    items = items_of(intake.body)
    events: list[tuple[int, UsageEvent]] = []
    refused: list[Rejection] = []
    for index, event in intake.events:
        try:
            with connection.transaction(force_rollback=True), connection.cursor() as cursor:
                _insert(cursor, [event])
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            reason = f"event: {error.diag.message_primary or error}"
            log.warning("event refused by the database", event_id=str(event.id), reason=reason)
            refused.append(reject(items[index], index, reason))
        else:
            events.append((index, event))
    return replace(intake, events=events, rejections=sorted([*intake.rejections, *refused], key=lambda r: r.index))


def _insert(cursor: psycopg.Cursor[Any], events: Sequence[UsageEvent]) -> int:
    """How many were new."""
    if not events:
        return 0
    cursor.execute(_CREATE_DELIVERY)
    with cursor.copy(copy_columns("usage_event_delivery")) as copy:
        for event in events:
            copy.write_row(row_of(event))
    return cursor.execute(_INSERT).rowcount


def copy_columns(table: LiteralString) -> LiteralString:
    """The COPY statement for rows of `row_of`."""
    return f"COPY {table} ({_COLUMNS}) FROM STDIN"


def row_of(event: UsageEvent) -> tuple[object, ...]:
    """The columns of `usage_event` that an event fills, in the order of `copy_columns`."""
    usage = event.data
    tokens = usage.tokens
    return (
        event.id,
        event.time,
        usage.tenant,
        usage.api_key_id,
        usage.project,
        usage.model,
        usage.mode.value,
        usage.mode_source.value,
        usage.status.value,
        usage.finish_reason,
        tokens.prompt,
        tokens.prompt_cached,
        tokens.judge,
        tokens.think,
        tokens.answer,
        tokens.control,
        usage.ttft_ms,
        usage.ttfa_ms,
        usage.duration_ms,
        usage.engine_seconds,
        usage.labels.get(TASK_LABEL, ""),
        orjson.dumps(usage.labels).decode() if usage.labels else "{}",
        event.source,
    )


def _bury(cursor: psycopg.Cursor[Any], rejections: Sequence[Rejection]) -> None:
    if not rejections:
        return
    letters = {hashlib.sha256(rejection.body.encode()).digest(): rejection for rejection in rejections}
    cursor.executemany(
        _BURY, [(letters[key].id, letters[key].reason, letters[key].body, key) for key in sorted(letters)]
    )
