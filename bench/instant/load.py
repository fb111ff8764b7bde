"""Many clients of one server, each with a connection of its own that it keeps; cheap enough never to be the limit."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final, cast

import orjson

_TIMEOUT_SECONDS: Final = 120
_CHOICE: Final = b'"choices":[{'
_LAST_CHUNK: Final = b"\r\n0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Load:
    """What was answered, and how fast."""

    requests: int
    seconds: float
    latencies: tuple[float, ...]
    events: int
    """Server-sent events with a choice in them; 0 where nothing was streamed."""

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds

    def latency_ms(self) -> dict[str, float]:
        ordered = sorted(self.latencies)
        return {
            f"p{percent}": round(ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] * 1000, 2)
            for percent in (50, 95, 99)
        }


def chat_request(port: int, key: str, body: object) -> bytes:
    """The bytes of a POST to /v1/chat/completions."""
    content = orjson.dumps(body)
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


async def put_load(port: int, request: bytes, *, requests: int, concurrency: int) -> Load:
    """Send a request so many times, `concurrency` of them at any time.

    Raises:
        RuntimeError: Something other than 200 was answered, or a connection closed.
    """
    left = iter(range(requests))
    latencies: list[float] = []
    loop = asyncio.get_running_loop()
    clients = [
        (await loop.create_connection(lambda: Client(request), "127.0.0.1", port))[1] for _ in range(concurrency)
    ]

    async def work(client: Client) -> None:
        for _ in left:
            started = time.perf_counter()
            await client.ask()
            latencies.append(time.perf_counter() - started)

    started = time.perf_counter()
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            await asyncio.gather(*(work(client) for client in clients))
        seconds = time.perf_counter() - started
    finally:
        for client in clients:
            client.close()
    return Load(len(latencies), seconds, tuple(latencies), sum(client.events for client in clients))


class Client(asyncio.Protocol):
    """One connection. Knows just enough of HTTP/1.1 to see where an answer ends."""

    def __init__(self, request: bytes) -> None:
        self.events = 0
        self._request = request
        self._transport: asyncio.Transport | None = None
        self._answered: asyncio.Future[None] | None = None
        self._received = b""
        self._rest = b""
        self._streams = False

    def ask(self) -> asyncio.Future[None]:
        """Send the request; done when its answer is complete."""
        assert self._transport is not None
        self._received = b""
        self._streams = False
        self._rest = b""
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(self._request)
        return self._answered

    def close(self) -> None:
        """Let go of the connection."""
        self._answered = None
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by birth

    def data_received(self, data: bytes) -> None:
        if self._streams:
            self._count(data)
            return
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        if not head.startswith(b"HTTP/1.1 200 "):
            self._end(RuntimeError(self._received.decode(errors="replace")))
            return
        length = _content_length(head)
        if length is None:
            self._streams = True
            self._count(body)
        elif len(body) >= length:
            self._end()

    def _count(self, data: bytes) -> None:
        data = self._rest + data
        self.events += data.count(_CHOICE)
        # What is kept can hold no whole choice, but the beginning of one, or of the end.
        self._rest = data[-(len(_CHOICE) - 1) :]
        if data.endswith(_LAST_CHUNK):
            self._end()

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error or RuntimeError("the server closed the connection"))

    def _end(self, error: Exception | None = None) -> None:
        if self._answered is None or self._answered.done():
            return
        if error is None:
            self._answered.set_result(None)
        else:
            self._answered.set_exception(error)


def _content_length(head: bytes) -> int | None:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return None
