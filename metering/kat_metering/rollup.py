"""The roll-up of usage by hour and by day: each pass adds the events that are new, by one writer at a time.

The watermark goes by transaction id, not by a sequence: a transaction that got an early number may commit late, and
its events must not be passed over. Everything before the oldest transaction that is still open is final, so a pass
takes the events of [watermark, oldest open transaction) and moves the watermark there, in one transaction: an event is
added exactly once, wherever a pass is cut off. The work of a pass grows with the new events alone, not with the hour.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog
from sqlalchemy import Connection, Engine, text

from kat.usage_event import Segment
from kat_metering.store.engine import without_time_limit

log = structlog.get_logger(__name__)

_ROLLUP_LOCK: Final = 0x6B61_7403

_STATE: Final = text("SELECT next_xid::text AS next_xid, as_of, revision, rebuilt_revision FROM rollup_state")

# One statement, one snapshot. Events of transactions at or after `horizon` may be visible already; all of the others'
# are. An event is acknowledged after its transaction's start, so what is left out was acknowledged after `as_of`.
# (A number that is not assigned yet belongs to an event that came with a dump.)
_HORIZON: Final = text("""
    SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS horizon,
           pg_snapshot_xmax(pg_current_snapshot()) < CAST(:next_xid AS xid8) AS rewound,
           least(statement_timestamp(), (
               SELECT min(stored_at) FROM usage_event
               WHERE stored_xid >= pg_snapshot_xmin(pg_current_snapshot())
                 AND stored_xid < pg_snapshot_xmax(pg_current_snapshot())
           )) AS as_of
""")

# What is archived cannot be computed again, and need not be: no event is added to it.
_FORGET_ALL: Final = [
    text(f"""
        DELETE FROM {table}
        WHERE NOT EXISTS (SELECT FROM usage_archive WHERE month = date_trunc('month', {table}.{time}, 'UTC'))
    """)  # noqa: S608 - made of constants
    for table, time in (("usage_hourly", "hour"), ("usage_daily", "day"))
]

# Numbers of another server mean nothing here, and would be come upon again as this one's go on.
_RENUMBER: Final = text("""
    UPDATE usage_event SET stored_xid = '0' WHERE stored_xid >= pg_snapshot_xmax(pg_current_snapshot())
""")

_KEY: Final = """tenant, project, coalesce(api_key_id, '00000000-0000-0000-0000-000000000000'), model, mode, mode_source,
        status, task, CASE WHEN prompt + prompt_cached < 256 THEN '0-255'
                           WHEN prompt + prompt_cached < 1024 THEN '256-1023'
                           WHEN prompt + prompt_cached < 4096 THEN '1024-4095'
                           ELSE '4096+' END"""
_KEY_NAMES: Final = "tenant, project, api_key_id, model, mode, mode_source, status, task, prompt_bucket"
_SUMS: Final = ("requests", *Segment, "engine_seconds")
_SUM_NAMES: Final = ", ".join(_SUMS)


def _add_to(table: str) -> str:
    return ", ".join(f"{each} = {table}.{each} + excluded.{each}" for each in _SUMS)


# The events are read once, for hours and days alike. The hours of a month that is over by `as_of`, the new one included,
# are marked: a statement is closed once `as_of` has reached the end of its month, so whatever is added to the month
# afterwards is marked. A rebuild marks nothing: it says of itself that everything may have changed.
_ADD: Final = text(f"""
    WITH added (hour, key_sha256, {_KEY_NAMES}, {_SUM_NAMES}) AS (
        SELECT date_trunc('hour', occurred_at, 'UTC'), sha256(convert_to(ROW({_KEY})::text, 'UTF8')), {_KEY},
            count(*), sum(prompt), sum(prompt_cached), sum(judge), sum(think), sum(answer), sum(control),
            sum(engine_seconds)
        FROM usage_event
        WHERE stored_xid >= CAST(:next_xid AS xid8) AND stored_xid < CAST(:horizon AS xid8)
        GROUP BY date_trunc('hour', occurred_at, 'UTC'), {_KEY}
    ), hourly AS (
        INSERT INTO usage_hourly (hour, key_sha256, {_KEY_NAMES}, {_SUM_NAMES})
        SELECT hour, key_sha256, {_KEY_NAMES}, {_SUM_NAMES} FROM added ORDER BY hour, tenant
        ON CONFLICT (hour, key_sha256) DO UPDATE SET {_add_to("usage_hourly")}
    ), late AS (
        INSERT INTO late_hour (tenant, hour, revision)
        SELECT DISTINCT tenant, hour, revision + 1 FROM added CROSS JOIN rollup_state
        WHERE hour < date_trunc('month', greatest(as_of, CAST(:as_of AS timestamptz)), 'UTC')
          AND NOT CAST(:everything AS boolean)
        ORDER BY tenant, hour
        ON CONFLICT (tenant, hour) DO UPDATE SET revision = excluded.revision
    )
    INSERT INTO usage_daily (day, key_sha256, {_KEY_NAMES}, {_SUM_NAMES})
    SELECT date_trunc('day', hour, 'UTC'), key_sha256, {_KEY_NAMES}, {", ".join(f"sum({each})" for each in _SUMS)}
    FROM added GROUP BY date_trunc('day', hour, 'UTC'), key_sha256, {_KEY_NAMES}
    ON CONFLICT (day, key_sha256) DO UPDATE SET {_add_to("usage_daily")}
""")  # noqa: S608 - made of constants

_ADVANCE: Final = text("""
    UPDATE rollup_state
    SET next_xid = greatest_xid, as_of = greatest(as_of, :as_of), revision = revision + :changes,
        rebuilt_revision = CASE WHEN CAST(:everything AS boolean) THEN revision + :changes ELSE rebuilt_revision END
    FROM (SELECT CAST(:horizon AS xid8) AS greatest_xid) AS horizon
    RETURNING as_of, revision, rebuilt_revision
""")


@dataclass(frozen=True, slots=True)
class RollUpState:
    """How far the roll-up has come."""

    as_of: datetime
    """Every event acknowledged before this moment is in it."""
    revision: int
    """Changes whenever the roll-up's content may have changed."""
    rebuilt_revision: int
    """The revision that the last rebuild made."""


def read_state(connection: Connection) -> RollUpState:
    row = connection.execute(_STATE).one()
    return RollUpState(row.as_of, row.revision, row.rebuilt_revision)


def roll_up(engine: Engine) -> RollUpState:
    """One pass, in one transaction. Where another service is at it, this one only reads how far that has come."""
    with _begin(engine) as connection:
        if not connection.execute(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": _ROLLUP_LOCK}).scalar_one():
            return read_state(connection)
        return _pass(connection, everything=False)


def rebuild(engine: Engine) -> RollUpState:
    """Compute the whole roll-up again from the events, in one transaction: readers see the old one or the new one."""
    with _begin(engine) as connection:
        without_time_limit(connection)
        lock_rollup(connection)
        return _pass(connection, everything=True)


def lock_rollup(connection: Connection) -> None:
    """Let nobody else change the roll-up until the transaction ends."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ROLLUP_LOCK})


def _begin(engine: Engine) -> AbstractContextManager[Connection]:
    # Each statement needs a snapshot of its own, one that sees at least what the statement before it saw.
    return engine.execution_options(isolation_level="READ COMMITTED").begin()


def _pass(connection: Connection, *, everything: bool) -> RollUpState:
    without_time_limit(connection)
    next_xid = connection.execute(_STATE).one().next_xid
    seen = connection.execute(_HORIZON, {"next_xid": next_xid}).one()
    if seen.rewound:
        # A dump restored into another server: its transaction numbers have nothing to do with those of the events.
        log.warning("the database was restored; the roll-up is computed again", watermark=next_xid)
        # No event may come between the numbers seen and the numbers changed.
        connection.execute(text("LOCK TABLE usage_event IN SHARE MODE"))
        connection.execute(_RENUMBER)
        seen = connection.execute(_HORIZON, {"next_xid": next_xid}).one()
        everything = True
    if everything:
        for forget in _FORGET_ALL:
            connection.execute(forget)
        next_xid = "0"
    # Never backwards: what is behind the watermark has been added.
    horizon = str(max(int(seen.horizon), int(next_xid)))
    moved = {"horizon": horizon, "as_of": seen.as_of, "everything": everything}
    added = connection.execute(_ADD, {**moved, "next_xid": next_xid})
    changes = int(everything or added.rowcount > 0)
    row = connection.execute(_ADVANCE, {**moved, "changes": changes}).one()
    return RollUpState(row.as_of, row.revision, row.rebuilt_revision)
