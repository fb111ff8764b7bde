"""Between metering and its Postgres: a proxy that delays answers, or loses one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import URL

_PIECE = 65_536
_DEFAULT_PORT = 5432


class SlowProxy:
    """Passes bytes on, answers after `delay` seconds each."""

    def __init__(self, server: URL) -> None:
        self._server = server
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0
        self.delay = 0.0
        self.lose_answer_to: bytes | None = None
        """The next request that holds these bytes is passed on; its answer is lost, and the connection with it."""

    def url(self, database: str | None) -> str:
        """The URL of a database by way of the proxy."""
        through = self._server.set(host="127.0.0.1", port=self.port, database=database)
        return through.difference_update_query(["host"]).render_as_string(hide_password=False)

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def close(self) -> None:
        """Cut what is still connected."""
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await self._connect()
        lost = asyncio.Event()

        async def requests() -> None:
            while piece := await reader.read(_PIECE):
                if self.lose_answer_to is not None and self.lose_answer_to in piece:
                    self.lose_answer_to = None
                    lost.set()
                server_writer.write(piece)
                await server_writer.drain()

        async def answers() -> None:
            while piece := await server_reader.read(_PIECE):
                if lost.is_set():
                    return
                await asyncio.sleep(self.delay)
                writer.write(piece)
                await writer.drain()

        directions = [asyncio.create_task(requests()), asyncio.create_task(answers())]
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in directions:
                task.cancel()
            await asyncio.gather(*directions, return_exceptions=True)
            for end in (writer, server_writer):
                end.close()
                with contextlib.suppress(OSError):
                    await end.wait_closed()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        port = self._server.port or _DEFAULT_PORT
        folder = self._server.query.get("host")
        if isinstance(folder, str):
            return await asyncio.open_unix_connection(Path(folder) / f".s.PGSQL.{port}")
        return await asyncio.open_connection(self._server.host, port)


@asynccontextmanager
async def slow_proxy(server: URL) -> AsyncIterator[SlowProxy]:
    """A proxy on a free port of the loopback."""
    proxy = SlowProxy(server)
    listener = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = listener.sockets[0].getsockname()[1]
    async with listener:
        yield proxy
        await proxy.close()
