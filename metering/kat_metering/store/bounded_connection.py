"""A connection to Postgres that waits for an answer so long and no longer.

The server's own time-out ends a statement that takes long. It does not help where the server is silent, or the way to
it: stopped by its host, swallowed by a proxy whose end of the connection is well. The kernel does not notice either,
as long as somebody acknowledges its packets.
"""

from __future__ import annotations

from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen

_WAIT_INTERVAL = 0.1

T = TypeVar("T")


class BoundedConnection(psycopg.Connection[Any]):
    """Closes itself where an answer takes longer than `answer_seconds`, and raises psycopg.OperationalError."""

    answer_seconds: float | None = None
    """Of each answer, not of the transaction; None waits for as long as the connection is there."""

    def wait(self, gen: PQGen[T], interval: float = _WAIT_INTERVAL, timeout: float | None = None) -> T:
        try:
            return super().wait(gen, interval, self.answer_seconds if timeout is None else timeout)
        except psycopg.OperationalError as error:
            if error.sqlstate is None and timeout is None:
                # The server did not say so: what it is doing, and what it would answer to next, nobody knows.
                self.close()
            raise
