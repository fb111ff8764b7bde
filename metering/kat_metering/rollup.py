"""The hourly roll-up of usage: whole touched hours are computed again from the events, by one writer at a time.

The watermark goes by transaction id, not by a sequence: a transaction that got an early number may commit late, and
its events must not be passed over. Everything before the oldest transaction that is still open is final, so a pass
takes the events of [watermark, oldest open transaction) and moves the watermark there.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import Connection, Engine, text

from kat_metering.store.partitions import first_id_at

log = structlog.get_logger(__name__)

_ROLLUP_LOCK: Final = 0x6B61_7403

_STATE: Final = text("SELECT next_xid::text AS next_xid, as_of, revision FROM rollup_state")

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

_TOUCHED: Final = text("""
    SELECT DISTINCT date_trunc('hour', occurred_at, 'UTC') AS hour FROM usage_event
    WHERE stored_xid >= CAST(:next_xid AS xid8) AND stored_xid < CAST(:horizon AS xid8)
""")

_FORGET: Final = text("DELETE FROM usage_hourly WHERE hour = :hour")
_FORGET_ALL: Final = text("DELETE FROM usage_hourly")

_KEY: Final = """tenant, project, coalesce(api_key_id, '00000000-0000-0000-0000-000000000000'), model, mode, mode_source,
        status, task, CASE WHEN prompt + prompt_cached < 256 THEN '0-255'
                           WHEN prompt + prompt_cached < 1024 THEN '256-1023'
                           WHEN prompt + prompt_cached < 4096 THEN '1024-4095'
                           ELSE '4096+' END"""

_RECOMPUTE: Final = f"""
    INSERT INTO usage_hourly (hour, key_sha256, tenant, project, api_key_id, model, mode, mode_source, status, task,
        prompt_bucket, requests, prompt, prompt_cached, judge, think, answer, control, engine_seconds)
    SELECT date_trunc('hour', occurred_at, 'UTC'), sha256(convert_to(ROW({_KEY})::text, 'UTF8')), {_KEY},
        count(*), sum(prompt), sum(prompt_cached), sum(judge), sum(think), sum(answer), sum(control),
        sum(engine_seconds)
    FROM usage_event
    {{where}}
    GROUP BY date_trunc('hour', occurred_at, 'UTC'), {_KEY}
"""  # noqa: S608 - made of constants
_RECOMPUTE_HOUR: Final = text(_RECOMPUTE.format(where="WHERE id >= :first_id AND id < :end_id"))
_RECOMPUTE_ALL: Final = text(_RECOMPUTE.format(where=""))

_ADVANCE: Final = text("""
    UPDATE rollup_state
    SET next_xid = greatest_xid, as_of = greatest(as_of, :as_of), revision = revision + :changes
    FROM (SELECT CAST(:horizon AS xid8) AS greatest_xid) AS horizon
    RETURNING as_of, revision
""")


@dataclass(frozen=True, slots=True)
class RollUpState:
    """How far the roll-up has come."""

    as_of: datetime
    """Every event acknowledged before this moment is in it."""
    revision: int
    """Changes whenever the roll-up's content may have changed."""


def read_state(connection: Connection) -> RollUpState:
    row = connection.execute(_STATE).one()
    return RollUpState(row.as_of, row.revision)


def roll_up(engine: Engine) -> RollUpState:
    """One pass, in one transaction. Where another service is at it, this one only reads how far that has come."""
    with _begin(engine) as connection:
        if not connection.execute(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": _ROLLUP_LOCK}).scalar_one():
            return read_state(connection)
        return _pass(connection, everything=False)


def rebuild(engine: Engine) -> RollUpState:
    """Compute the whole roll-up again from the events, in one transaction: readers see the old one or the new one."""
    with _begin(engine) as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ROLLUP_LOCK})
        return _pass(connection, everything=True)


def _begin(engine: Engine) -> AbstractContextManager[Connection]:
    # Each statement needs a snapshot of its own, one that sees at least what the statement before it saw.
    return engine.execution_options(isolation_level="READ COMMITTED").begin()


def _pass(connection: Connection, *, everything: bool) -> RollUpState:
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    next_xid = connection.execute(_STATE).one().next_xid
    seen = connection.execute(_HORIZON, {"next_xid": next_xid}).one()
    if seen.rewound:
        # A dump restored into another server: its transaction numbers have nothing to do with those of the events.
        log.warning("the database was restored; the roll-up is computed again", watermark=next_xid)
        everything = True
    if everything:
        connection.execute(_FORGET_ALL)
        connection.execute(_RECOMPUTE_ALL)
        changes = 1
    else:
        hours = (
            connection.execute(_TOUCHED, {"next_xid": next_xid, "horizon": seen.horizon}).scalars().all()
            if int(seen.horizon) > int(next_xid)
            else []
        )
        _recompute(connection, hours)
        changes = int(bool(hours))
    row = connection.execute(_ADVANCE, {"horizon": seen.horizon, "as_of": seen.as_of, "changes": changes}).one()
    return RollUpState(row.as_of, row.revision)


def _recompute(connection: Connection, hours: Iterable[datetime]) -> None:
    for hour in sorted(hour.astimezone(UTC) for hour in hours):
        connection.execute(_FORGET, {"hour": hour})
        connection.execute(
            _RECOMPUTE_HOUR, {"first_id": first_id_at(hour), "end_id": first_id_at(hour + timedelta(hours=1))}
        )
