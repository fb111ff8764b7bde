"""On whose behalf a transaction runs: its role in Postgres, and the name that the audit puts down.

A context variable, so that a route cannot forget it: whatever transaction begins while an administrator's request is
served runs as the administrators' role and carries the name. Work of the service's own (roll-up, partitions) runs
outside any request, as the owner of the tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

from kat_metering.store.tables import ADMIN_ROLE

_TELL: Final = text(
    "SELECT set_config('kat.actor', :actor, true), set_config('kat.request_id', :request_id, true),"
    " set_config('role', :role, true)"
)


@dataclass(slots=True)
class RequestContext:
    """The request that is being served."""

    id: str
    administrator: str | None = None
    """Who sent it, once that is known to be an administrator."""


_current: ContextVar[RequestContext | None] = ContextVar("request", default=None)


@contextmanager
def serving(request: RequestContext) -> Iterator[None]:
    """While the block lasts, and in the threads that work for it, transactions are this request's."""
    token = _current.set(request)
    try:
        yield
    finally:
        _current.reset(token)


def acts_as_administrator(name: str) -> None:
    """The request being served is an administrator's, of this name."""
    request = _current.get()
    if request is None:
        raise RuntimeError("no request is being served")
    request.administrator = name


def tell_who_acts(connection: Connection) -> None:
    """Called by SQLAlchemy at the begin of each transaction."""
    request = _current.get()
    if request is None or request.administrator is None:
        return
    # For this transaction only: the connection forgets all three at its end.
    connection.execute(_TELL, {"actor": request.administrator, "request_id": request.id, "role": ADMIN_ROLE})
