"""Connections to Postgres, and whose eyes they read with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, Dialect, Engine, create_engine, event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from kat_metering.store.acting import tell_who_acts
from kat_metering.store.bounded_connection import BoundedConnection
from kat_metering.store.tables import TENANT_ROLE, TENANT_SETTING

_CONNECT_TIMEOUT_SECONDS: Final = 5
_PROBE_SECONDS: Final = 5
"""Before it is used, a connection must answer to nothing within this time."""
_GRACE_SECONDS: Final = 2
"""What an answer may take beyond the server's own time-out before its silence is taken for its end."""
# A host that is gone is noticed within half a minute.
_KEEPALIVE: Final = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 4}


def database_url(url: str) -> URL:
    """The URL for psycopg 3, whichever common spelling of the scheme it comes in."""
    parsed = make_url(url)
    if parsed.drivername in {"postgres", "postgresql"}:
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername != "postgresql+psycopg":
        raise ValueError(f"not a URL of PostgreSQL: {parsed.render_as_string(hide_password=True)}")
    return parsed


def make_engine(url: str, *, connections: int, timeout_seconds: float) -> Engine:
    """A pool of connections in UTC; statements, and the wait for a connection, end after `timeout_seconds`.

    So does the wait for a server that says nothing any more, a little later. `without_time_limit` lifts the first.
    """
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
            **_KEEPALIVE,
            "options": f"-c timezone=UTC -c statement_timeout={milliseconds}",
        },
    )
    event.listen(engine, "connect", _make_commits_durable)
    _bound_answers(engine, probe=min(timeout_seconds, _PROBE_SECONDS), work=timeout_seconds + _GRACE_SECONDS)
    event.listen(engine, "begin", tell_who_acts)
    return engine


def without_time_limit(connection: Connection) -> None:
    """Let the statements of this transaction take as long as the server works on them.

    Its connection is lent for it alone. Raises sqlalchemy.exc.OperationalError later, where the server falls silent.
    """
    # Asked for in the transaction: behind a pooler, the process that a connection began with may serve another by now.
    process = connection.execute(text("SELECT pg_backend_pid() FROM set_config('statement_timeout', '0', true)"))
    lent = connection.connection.driver_connection
    if isinstance(lent, BoundedConnection):
        lent.at_work = process.scalar_one()


def _bound_answers(engine: Engine, *, probe: float, work: float) -> None:
    """Bound what connections wait for: the probe before they are lent, and the work that they are lent for."""

    def open_one(arguments: list[Any], options: dict[str, Any]) -> BoundedConnection:
        connection = BoundedConnection.connect(*arguments, **options)
        connection.answer_seconds = probe
        return connection

    def connect(
        _: Dialect, _record: ConnectionPoolEntry, arguments: list[Any], options: dict[str, Any]
    ) -> DBAPIConnection:
        connection = open_one(arguments, options)
        connection.open_another = partial(open_one, arguments, options)
        return connection  # type: ignore[return-value]  # SQLAlchemy's protocol is narrower than what it works with

    def lend(connection: DBAPIConnection, _record: ConnectionPoolEntry, _proxy: PoolProxiedConnection) -> None:
        _bound(connection, work)

    def take_back(connection: DBAPIConnection | None, _record: ConnectionPoolEntry) -> None:
        if connection is not None:
            _bound(connection, probe)

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "checkout", lend)
    event.listen(engine, "checkin", take_back)


def _bound(connection: object, seconds: float) -> None:
    # Another engine's connections, such as those of a tool that migrates, have no bound to begin with.
    if isinstance(connection, BoundedConnection):
        connection.answer_seconds = seconds
        connection.at_work = None


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
