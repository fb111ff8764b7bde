"""The machine's own Postgres server."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import text

from kat_metering.store.embedded import EmbeddedPostgres
from kat_metering.store.engine import make_engine


def test_the_server_starts_in_a_folder_too_deep_for_a_socket(home: Path) -> None:
    deep = home / ("d" * 60) / ("e" * 60)
    with EmbeddedPostgres(deep) as server:
        engine = make_engine(server.url, connections=3, timeout_seconds=60)
        with engine.connect() as connection:
            assert connection.execute(text("SHOW fsync")).scalar_one() == "on"
        engine.dispose()


def test_the_servers_files_are_private(home: Path) -> None:
    with EmbeddedPostgres(home / "postgres"):
        for folder in ("data", "run"):
            assert (home / "postgres" / folder).stat().st_mode & 0o077 == 0


def test_an_interrupted_first_start_is_made_good(home: Path) -> None:
    (home / "postgres" / "data.new" / "base").mkdir(parents=True)
    with EmbeddedPostgres(home / "postgres") as server:
        assert server.pid is not None


def test_a_stale_process_number_does_not_keep_the_server_down(home: Path) -> None:
    # As after a restart of the machine: the number in the file is by now another program's. Here it is this test's.
    folder = home / "postgres"
    with EmbeddedPostgres(folder):
        left = (folder / "data" / "postmaster.pid").read_text().split("\n", 1)[1]
    (folder / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n{left}")
    with EmbeddedPostgres(folder) as server:
        assert server.pid is not None
