"""`kat metering serve` as a process, with a Postgres of its own."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from kat.processes import Part, port_or_free
from kat_metering.store.embedded import EmbeddedPostgres
from tests.fakes.folders import database_folder
from tests.fakes.metering import ADMIN_TOKEN, SERVICE_TOKEN

WAIT_SECONDS = 60


class MeteringProcess:
    """The service and its Postgres, in a folder that outlives both."""

    def __init__(self, home: Path) -> None:
        self.home = home
        port = port_or_free(0)
        self.url = f"http://127.0.0.1:{port}"
        self.part = Part(
            name="metering",
            argv=[str(Path(sys.executable).with_name("kat")), "metering", "serve"],
            env={
                "KAT_HOME": str(home),
                "KAT_ADMIN_TOKEN": ADMIN_TOKEN,
                "KAT_SERVICE_TOKEN": SERVICE_TOKEN,
                "KAT_METERING_PORT": str(port),
                "KAT_ROLLUP_INTERVAL_SECONDS": "0.05",
            },
            log=home / "metering.log",
            ready_url=f"{self.url}/readyz",
        )
        self.engine = create_engine(EmbeddedPostgres(home / "postgres").url, poolclass=NullPool)

    def start(self) -> None:
        self.part.start()
        self.part.wait_ready(timeout=WAIT_SECONDS)

    def postmaster(self) -> int:
        """The process id of its Postgres."""
        return int((self.home / "postgres" / "data" / "postmaster.pid").read_text().split("\n", 1)[0])

    def ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


@contextmanager
def metering_process() -> Iterator[MeteringProcess]:
    """A service that has started; it and what it left behind are cleared away, whatever was killed meanwhile."""
    service = MeteringProcess(Path(tempfile.mkdtemp(prefix="kat-home-", dir=database_folder())))
    try:
        service.start()
        yield service
    finally:
        service.part.stop(timeout=WAIT_SECONDS)
        # Where a test killed the service, its Postgres is left: owning it once more ends it.
        with EmbeddedPostgres(service.home / "postgres"):
            pass
        shutil.rmtree(service.home)
