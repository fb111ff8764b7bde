"""A connection to Postgres that waits for an answer so long and no longer.

The server's own time-out ends a statement that takes long. It does not help where the server is silent, or the way to
it: stopped by its host, swallowed by a proxy whose end of the connection is well. The kernel does not notice either,
as long as somebody acknowledges its packets.

Work that may take hours is waited for as long as the server says, over another connection, that it is at it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any, Final, Self, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.errors import _WaitTimeout  # nothing public tells a wait that is over from one that failed

_WAIT_INTERVAL = 0.1
_IS_AT_IT: Final = "SELECT FROM pg_stat_activity WHERE pid = %s AND state = 'active'"

T = TypeVar("T")


class BoundedConnection(psycopg.Connection[Any]):
    """Closes itself where an answer takes longer than `answer_seconds`, and raises psycopg.OperationalError."""

    answer_seconds: float | None = None
    """Of each answer, not of the transaction; None waits for as long as the connection is there."""
    open_another: Callable[[], Self] | None = None
    """Opens a connection to the same server, whose answers are bounded."""
    at_work: int | None = None
    """The server's process that may take longer, for as long as it is at it. None where nothing may."""

    def wait(self, gen: PQGen[T], interval: float = _WAIT_INTERVAL, timeout: float | None = None) -> T:
        while True:
            try:
                return super().wait(gen, interval, self.answer_seconds if timeout is None else timeout)
            except psycopg.OperationalError as error:
                if error.sqlstate is not None or timeout is not None:
                    raise
                if isinstance(error, _WaitTimeout) and self._is_at_it():
                    continue
                # The server did not say so: what it is doing, and what it would answer to next, nobody knows.
                self.close()
                raise

    def _is_at_it(self) -> bool:
        """Whether the server works on what is waited for; not so where its answer was lost, or it is silent."""
        if self.at_work is None or self.open_another is None:
            return False
        try:
            with closing(self.open_another()) as other:
                return other.execute(_IS_AT_IT, [self.at_work]).fetchone() is not None
        except psycopg.OperationalError:
            return False
