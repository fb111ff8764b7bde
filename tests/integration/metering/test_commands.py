"""The commands `kat metering migrate`, `rebuild` and `serve`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, delete, func, select

from kat_metering import cli
from kat_metering.store.embedded import EmbeddedPostgres
from kat_metering.store.schema import is_at_head
from kat_metering.store.tables import usage_hourly
from tests.fakes.metering import SERVICE
from tests.fakes.usage_events import a_delivery, an_event


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    for name in [name for name in os.environ if name.startswith("KAT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(cli, "configure_logs", lambda **_: None)

    def run(*arguments: str, **environment: str) -> Any:
        return CliRunner().invoke(cli.metering, list(arguments), env=environment)

    return run


def test_migrate_brings_an_empty_database_to_head(command: Callable[..., Any], empty_engine: Engine) -> None:
    url = empty_engine.url.render_as_string(hide_password=False)
    for _ in range(2):
        assert command("migrate", KAT_DATABASE_URL=url).exit_code == 0
    with empty_engine.connect() as connection:
        assert is_at_head(connection)


async def test_rebuild_computes_the_rollup_again(
    command: Callable[..., Any], client: httpx.AsyncClient, engine: Engine, catch_up: Callable[[], object]
) -> None:
    await client.post("/v1/events", content=a_delivery(an_event(), an_event()), headers=SERVICE)
    await asyncio.to_thread(catch_up)
    with engine.begin() as connection:
        connection.execute(delete(usage_hourly))
    url = engine.url.render_as_string(hide_password=False)
    done = await asyncio.to_thread(command, "rebuild", KAT_DATABASE_URL=url)
    assert done.exit_code == 0, done.output
    with engine.connect() as connection:
        assert connection.execute(select(func.sum(usage_hourly.c.requests))).scalar_one() == 2


def test_serve_names_the_settings_it_lacks(command: Callable[..., Any]) -> None:
    done = command("serve", KAT_ADMIN_TOKEN="short")
    assert done.exit_code != 0
    assert "KAT_ADMIN_TOKEN" in done.output
    assert "KAT_SERVICE_TOKEN: Field required" in done.output
    assert "short" not in done.output.replace("shorter", "")


def test_commands_start_the_machines_own_server_and_stop_it(command: Callable[..., Any], home: Path) -> None:
    assert command("migrate", KAT_HOME=str(home)).exit_code == 0
    assert not (home / "postgres" / "data" / "postmaster.pid").exists()


def test_commands_join_the_server_of_a_running_service(command: Callable[..., Any], home: Path) -> None:
    with EmbeddedPostgres(home / "postgres") as server:
        pid = server.pid
        done = command("migrate", KAT_HOME=str(home))
        assert done.exit_code == 0, done.output
        assert server.pid == pid
