"""The outbox of version 1, one SQLite file: read once, so that an upgrade loses no event. Blocking."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from kat_predictor.errors import OutboxUnusable
from kat_predictor.outbox_record import Record

_APPLICATION_ID: Final = 0x4B41544F  # "KATO"
_VERSION: Final = 1
_LOCK_WAIT_SECONDS: Final = 2.0  # a predecessor on the same volume may be about to let go


def move_aside(path: Path, aside: Path) -> None:
    """Rename the file, its write-ahead log folded into it.

    Raises:
        OutboxUnusable: It is damaged, in use, or not an outbox of version 1.
    """
    with _opened(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    path.rename(aside)


def read(path: Path) -> list[Record]:
    """All events, oldest first.

    Raises:
        OutboxUnusable: It is damaged, in use, or not an outbox of version 1.
    """
    with _opened(path) as connection:
        rows = connection.execute("SELECT stored_at, body FROM event ORDER BY seq")
        return [Record(stored_at, bytes(body)) for stored_at, body in rows]


def remove(path: Path) -> None:
    """Delete the file and what SQLite keeps beside it."""
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)


@contextmanager
def _opened(path: Path) -> Generator[sqlite3.Connection]:
    try:
        connection = sqlite3.connect(path, timeout=_LOCK_WAIT_SECONDS, isolation_level=None)
        try:
            _check(connection, path)
            yield connection
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise OutboxUnusable(_explain(path, error)) from error


def _check(connection: sqlite3.Connection, path: Path) -> None:
    # Version 1 held this lock all its life; taking it shows that no such predictor runs any more.
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA journal_mode = WAL")
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application_id != _APPLICATION_ID:
        raise OutboxUnusable(f"{path} is not an outbox but some other SQLite database; set KAT_OUTBOX_PATH elsewhere")
    if version != _VERSION:
        raise OutboxUnusable(f"{path} has outbox version {version}, this program reads a SQLite file of version 1 only")
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)


def _explain(path: Path, error: sqlite3.Error) -> str:
    if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
        return f"the outbox {path} is in use by another process; give each predictor its own KAT_OUTBOX_PATH"
    if isinstance(error, sqlite3.OperationalError):
        return f"the outbox {path} cannot be opened ({error})"
    return f"the outbox {path} is damaged ({error}); move it away to start with a new one, and keep it: unsent usage may be in it"
