"""Connections to Postgres, and whose eyes they read with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from kat_metering.store.acting import tell_who_acts
from kat_metering.store.tables import TENANT_ROLE, TENANT_SETTING

_CONNECT_TIMEOUT_SECONDS: Final = 5


def database_url(url: str) -> URL:
    """The URL for psycopg 3, whichever common spelling of the scheme it comes in."""
    parsed = make_url(url)
    if parsed.drivername in {"postgres", "postgresql"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername != "postgresql+psycopg":
        raise ValueError(f"not a URL of PostgreSQL: {parsed.render_as_string(hide_password=True)}")
    return parsed


def make_engine(url: str, *, connections: int, timeout_seconds: float) -> Engine:
    """A pool of connections in UTC; statements, and the wait for a connection, end after `timeout_seconds`."""
    milliseconds = int(timeout_seconds * 1000)
    engine = create_engine(
        database_url(url),
        pool_size=connections,
        max_overflow=0,
        pool_timeout=timeout_seconds,
        # A connection that a restart of Postgres broke is replaced before it is used.
        pool_pre_ping=True,
        connect_args={
            "application_name": "kat-metering",
            "connect_timeout": _CONNECT_TIMEOUT_SECONDS,
            "tcp_user_timeout": milliseconds,
            "options": f"-c timezone=UTC -c statement_timeout={milliseconds}",
        },
    )
    event.listen(engine, "connect", _make_commits_durable)
    event.listen(engine, "begin", tell_who_acts)
    return engine


def _make_commits_durable(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    # Acknowledged means committed, also on a server whose default says otherwise. Stronger settings stay.
    cursor = connection.cursor()
    cursor.execute(
        "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
    )
    cursor.close()
    connection.commit()


@contextmanager
def reading(engine: Engine, tenant: str | None) -> Iterator[Connection]:
    """A connection to read with: all rows for None, else the rows that row-level security shows to this tenant.

    One transaction in one snapshot, so that the numbers of a report agree with each other. Never commits.
    """
    with engine.connect().execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True) as connection:
        if tenant is not None:
            connection.execute(text(f"SET LOCAL ROLE {TENANT_ROLE}"))
            connection.execute(
                text("SELECT set_config(:setting, :tenant, true)"), {"setting": TENANT_SETTING, "tenant": tenant}
            )
        yield connection
