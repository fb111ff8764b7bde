"""A real Postgres for every test: one server a session, one fresh database a test.

`KAT_TEST_DATABASE_URL` names another server to use, such as an older release; its user must be allowed to create
databases and roles.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from anyio.from_thread import start_blocking_portal
from pydantic import SecretStr
from sqlalchemy import URL, Engine, create_engine, make_url, text
from sqlalchemy.pool import NullPool

from kat_metering.main import create_app
from kat_metering.rollup import RollUpState, roll_up
from kat_metering.settings import Settings
from kat_metering.store.embedded import EmbeddedPostgres
from kat_metering.store.engine import database_url as psycopg_url
from kat_metering.store.engine import make_engine
from kat_metering.store.partitions import ensure_partitions, months_around
from kat_metering.store.schema import upgrade_schema
from tests.fakes.folders import database_folder
from tests.fakes.metering import ADMIN_TOKEN, SERVICE_TOKEN

WAIT_SECONDS = 60


def _server_statement(server: URL, statement: str) -> None:
    engine = create_engine(server, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))


@pytest.fixture(scope="session")
def server() -> Iterator[URL]:
    """A Postgres server for the session."""
    if given := os.environ.get("KAT_TEST_DATABASE_URL"):
        yield psycopg_url(given)
        return
    with (
        tempfile.TemporaryDirectory(
            prefix="kat-postgres-", dir=database_folder(), ignore_cleanup_errors=True
        ) as folder,
        EmbeddedPostgres(Path(folder)) as postgres,
    ):
        yield make_url(postgres.url)


@pytest.fixture(scope="session")
def template(server: URL) -> Iterator[str]:
    """The name of a migrated, empty database."""
    name = f"kat_template_{uuid4().hex}"
    _server_statement(server, f"CREATE DATABASE {name}")
    engine = create_engine(server.set(database=name), poolclass=NullPool)
    upgrade_schema(engine)
    ensure_partitions(engine, months_around(datetime.now(UTC)))
    yield name
    _server_statement(server, f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def _database(server: URL, template: str) -> Iterator[str]:
    name = f"kat_test_{uuid4().hex}"
    _server_statement(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    yield server.set(database=name).render_as_string(hide_password=False)
    _server_statement(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def a_database(server: URL, template: str) -> Callable[[], AbstractContextManager[str]]:
    """`with a_database() as url`: a migrated, empty database, for fixtures that many tests share."""
    return partial(_database, server, template)


@pytest.fixture
def database_url(server: URL, template: str) -> Iterator[str]:
    """The URL of a migrated, empty database of the test's own."""
    with _database(server, template) as url:
        yield url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """Connections to the test's database, as the service opens them."""
    engine = make_engine(database_url, connections=10, timeout_seconds=WAIT_SECONDS)
    yield engine
    engine.dispose()


@pytest.fixture
def catch_up(engine: Engine) -> Callable[[], RollUpState]:
    """`catch_up()` returns once every event acknowledged before the call is in the roll-up.

    One pass may not do: any transaction open on the server, another test's included, holds the watermark back.
    """

    def catching_up() -> RollUpState:
        with engine.connect() as connection:
            now = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            state = roll_up(engine)
            if state.as_of >= now:
                return state
        raise TimeoutError(f"the roll-up does not reach {now}")

    return catching_up


def _settings(url: str) -> Settings:
    return Settings(
        admin_token=SecretStr(ADMIN_TOKEN),
        service_token=SecretStr(SERVICE_TOKEN),
        database_url=SecretStr(url),
        rollup_interval_seconds=0.02,
    )


@asynccontextmanager
async def _serving(settings: Settings, clock: Callable[[], datetime]) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings, clock=clock)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://metering") as client,
    ):
        await _until_ready(client)
        yield client


@pytest.fixture
def settings(database_url: str) -> Settings:
    return _settings(database_url)


Serve = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def serve(settings: Settings) -> Serve:
    """`async with serve(**changed_settings) as client`: the application, ready, with all of its background work."""

    def serving(
        clock: Callable[[], datetime] = lambda: datetime.now(UTC), **changes: Any
    ) -> AbstractAsyncContextManager[httpx.AsyncClient]:
        return _serving(settings.model_copy(update=changes), clock)

    return serving


async def _until_ready(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while (await client.get("/readyz")).status_code != httpx.codes.OK:  # noqa: ASYNC110 - readiness is polled
            await asyncio.sleep(0.01)


@pytest.fixture
async def client(serve: Serve) -> AsyncIterator[httpx.AsyncClient]:
    """The application with the default settings, ready. Requests carry no credentials of their own."""
    async with serve() as client:
        yield client


@pytest.fixture(scope="module")
def shared_call(server: URL, template: str) -> Iterator[Callable[..., httpx.Response]]:
    """`shared_call(method, url, **options)`: the answer of an application that all tests of a module have together.

    For tests that are no coroutines, and for those that would start it for thousands of calls.
    """
    with (
        _database(server, template) as url,
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(_serving(_settings(url), lambda: datetime.now(UTC))) as client,
    ):
        yield lambda method, path, **options: portal.call(partial(client.request, method, path, **options))


@pytest.fixture
def empty_database(database_url: str) -> URL:
    """A database without any table."""
    engine = make_engine(database_url, connections=3, timeout_seconds=60)
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    return make_url(database_url)


@pytest.fixture
def empty_engine(empty_database: URL) -> Iterator[Engine]:
    """Connections to a database without any table."""
    engine = make_engine(empty_database.render_as_string(hide_password=False), connections=10, timeout_seconds=60)
    yield engine
    engine.dispose()


@pytest.fixture
def home() -> Iterator[Path]:
    """A state folder."""
    folder = Path(tempfile.mkdtemp(prefix="kat-home-", dir=database_folder()))
    yield folder
    shutil.rmtree(folder)
