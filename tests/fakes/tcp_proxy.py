"""Between a client and its server: a proxy that delays answers, loses one, falls silent, or cuts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Self

_PIECE = 65_536

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
"""Opens a connection to the server."""


class TcpProxy:
    """Passes bytes on, answers after `delay` seconds each."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._connections: set[asyncio.Task[None]] = set()
        self._passing = asyncio.Event()
        self._passing.set()
        self._listener: asyncio.Server | None = None
        self.port = 0
        self.delay = 0.0
        self.lose_answer_to: bytes | None = None
        """The next request that holds these bytes is passed on; its answer is lost, and the connection with it."""
        self.swallow_answer_to: bytes | None = None
        """The next request that holds these bytes is passed on; no answer is on this connection any more. It stays."""
        self.silent_at: bytes | None = None
        """With the next request that holds these bytes the proxy falls silent."""
        self.silent_after: int | None = None
        """So many pieces of requests are still passed on, then the proxy falls silent. A small request is one piece."""

    @property
    def silent(self) -> bool:
        """Whether it takes bytes and connections, and passes nothing on, either way; until `speak`."""
        return not self._passing.is_set()

    def fall_silent(self) -> None:
        self._passing.clear()

    def speak(self) -> None:
        """Pass on again, what came meanwhile first."""
        self._passing.set()

    def deafen(self) -> None:
        """What is connected passes nothing on any more, and stays: a dead connection. New ones are served."""
        self._passing.clear()
        self._passing = asyncio.Event()
        self._passing.set()

    async def cut(self) -> None:
        """End what is connected. New connections are taken."""
        connections = set(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listener is not None
        self._listener.close()
        await self.cut()
        await self._listener.wait_closed()

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await self._connect()
        except OSError:
            # As a proxy in front of a server that is gone: connected, and closed at once.
            writer.close()
            return
        lost, swallowed, passing = asyncio.Event(), asyncio.Event(), self._passing
        directions = [
            asyncio.create_task(self._pass_requests(reader, server_writer, lost, swallowed, passing)),
            asyncio.create_task(self._pass_answers(server_reader, writer, lost, swallowed, passing)),
        ]
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # All at once: a `cut` that comes while this waits leaves nothing open.
            for end in (writer, server_writer):
                end.close()
            for task in directions:
                task.cancel()
            await asyncio.gather(*directions, return_exceptions=True)
            for end in (writer, server_writer):
                with contextlib.suppress(OSError):
                    await end.wait_closed()

    async def _pass_requests(
        self,
        client: asyncio.StreamReader,
        server: asyncio.StreamWriter,
        lost: asyncio.Event,
        swallowed: asyncio.Event,
        passing: asyncio.Event,
    ) -> None:
        while piece := await client.read(_PIECE):
            if self.swallow_answer_to is not None and self.swallow_answer_to in piece:
                self.swallow_answer_to = None
                swallowed.set()
            if self.lose_answer_to is not None and self.lose_answer_to in piece:
                self.lose_answer_to = None
                lost.set()
            if self.silent_at is not None and self.silent_at in piece:
                self.silent_at = None
                self.fall_silent()
            if self.silent_after is not None:
                self.silent_after -= 1
                if self.silent_after < 0:
                    self.silent_after = None
                    self.fall_silent()
            await passing.wait()
            server.write(piece)
            await server.drain()

    async def _pass_answers(
        self,
        server: asyncio.StreamReader,
        client: asyncio.StreamWriter,
        lost: asyncio.Event,
        swallowed: asyncio.Event,
        passing: asyncio.Event,
    ) -> None:
        while piece := await server.read(_PIECE):
            if lost.is_set():
                return
            if swallowed.is_set():
                continue
            await asyncio.sleep(self.delay)
            await passing.wait()
            client.write(piece)
            await client.drain()
