"""Between metering and its Postgres: a proxy with the faults of `TcpProxy`."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sqlalchemy import URL

from tests.fakes.tcp_proxy import TcpProxy

_DEFAULT_PORT = 5432


class SlowProxy(TcpProxy):
    """Leads to one Postgres, by its port or by its socket."""

    def __init__(self, server: URL) -> None:
        super().__init__(self._to_postgres)
        self._server = server

    def url(self, database: str | None) -> str:
        """The URL of a database by way of the proxy."""
        through = self._server.set(host="127.0.0.1", port=self.port, database=database)
        return through.difference_update_query(["host"]).render_as_string(hide_password=False)

    async def _to_postgres(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        port = self._server.port or _DEFAULT_PORT
        folder = self._server.query.get("host")
        if isinstance(folder, str):
            return await asyncio.open_unix_connection(Path(folder) / f".s.PGSQL.{port}")
        return await asyncio.open_connection(self._server.host, port)
