"""The SQLite file of the outbox: its schema, its checks at start-up, its transactions. Blocking; for one thread."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from kat_predictor.errors import OutboxUnusable

_APPLICATION_ID: Final = 0x4B41544F  # "KATO": keeps us from writing into some other program's database
_VERSION: Final = 1
_LOCK_WAIT_SECONDS: Final = 2.0  # a predecessor on the same volume may be about to let go
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS event (
    seq INTEGER PRIMARY KEY,    -- order of delivery
    stored_at REAL NOT NULL,    -- Unix time in seconds
    body BLOB NOT NULL          -- the usage event, as JSON
)
"""


class OutboxFile:
    """An open outbox file, locked for this process until it is closed or dies.

    Nothing is keyed by event id: metering knows an event that comes twice, so that a transaction whose fate is
    unknown may simply be repeated.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.count = int(connection.execute("SELECT count(*) FROM event").fetchone()[0])

    @classmethod
    def open(cls, path: Path) -> OutboxFile:
        """Open or make the file.

        Raises:
            OutboxUnusable: It is damaged, in use, not ours, or not writable.
        """
        connection: sqlite3.Connection | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            connection = sqlite3.connect(
                path, timeout=_LOCK_WAIT_SECONDS, isolation_level=None, check_same_thread=False
            )
            _prepare(connection, path)
            return cls(connection)
        except (OSError, sqlite3.Error) as error:
            if connection is not None:
                connection.close()
            raise OutboxUnusable(_explain(path, error)) from error
        except OutboxUnusable:
            if connection is not None:
                connection.close()
            raise

    def write(self, events: Sequence[tuple[float, bytes]], *, delete_up_to: int | None = None) -> None:
        """Add events (Unix time, body) and delete acknowledged ones: one transaction, on disk at return.

        Raises:
            sqlite3.Error: Nothing was written.
        """
        connection = self._connection
        deleted = 0
        connection.execute("BEGIN IMMEDIATE")
        try:
            if delete_up_to is not None:
                deleted = connection.execute("DELETE FROM event WHERE seq <= ?", (delete_up_to,)).rowcount
            if events:
                connection.executemany("INSERT INTO event (stored_at, body) VALUES (?, ?)", events)
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # SQLite has already rolled back after some errors
                connection.execute("ROLLBACK")
            raise
        self.count += len(events) - deleted

    def oldest(self, limit: int) -> list[tuple[int, bytes]]:
        """The events (position, body) to deliver next."""
        return self._connection.execute("SELECT seq, body FROM event ORDER BY seq LIMIT ?", (limit,)).fetchall()

    def oldest_stored_at(self) -> float | None:
        """Unix time at which the oldest event was put; None when there is none."""
        row = self._connection.execute("SELECT stored_at FROM event ORDER BY seq LIMIT 1").fetchone()
        return None if row is None else float(row[0])

    def close(self) -> None:
        """Let go of the file and its lock."""
        self._connection.close()


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    # An exclusive lock makes a second predictor on the same file fail at its start, where it can be read about.
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL: a commit is on the disk, not just in the kernel, when it returns.
    connection.execute("PRAGMA synchronous = FULL")
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables and application_id != _APPLICATION_ID:
        raise OutboxUnusable(f"{path} is not an outbox but some other SQLite database; set KAT_OUTBOX_PATH elsewhere")
    if tables and version != _VERSION:
        raise OutboxUnusable(f"{path} has outbox version {version}, this program reads version {_VERSION}")
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {_VERSION}")
    connection.execute(_SCHEMA)
    connection.execute("COMMIT")


def _explain(path: Path, error: Exception) -> str:
    if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
        return f"the outbox {path} is in use by another process; give each predictor its own KAT_OUTBOX_PATH"
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        return f"the outbox {path} is damaged ({error}); move it away to start with a new one, and keep it: unsent usage may be in it"
    return f"the outbox {path} cannot be opened ({error}); KAT_OUTBOX_PATH must be writable"
