"""What stands next to the servers that are measured: `python -m bench.instant.neighbour PORT DIRECTORY_JSON`.

One process, as cheap as a server in Python gets: metering, which hands out the directory and acknowledges every event,
and an OpenAI-compatible server that answers at once.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Final, cast

import orjson
import uvloop

from bench.instant.engine import GREETING

_USAGE: Final = {"prompt_tokens": 9, "completion_tokens": 8, "total_tokens": 17}


class _Neighbour(asyncio.Protocol):
    """One connection; requests on it follow one another."""

    def __init__(self, directory: bytes) -> None:
        self._directory = directory
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by birth

    def data_received(self, data: bytes) -> None:
        self._received += data
        while self._transport is not None and (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._received[:end])
            length = _content_length(head)
            if len(self._received) < end + 4 + length:
                return
            body = bytes(self._received[end + 4 : end + 4 + length])
            del self._received[: end + 4 + length]
            self._transport.write(self._answer(head.split(b" ", 2)[1], body))

    def _answer(self, path: bytes, body: bytes) -> bytes:
        if path == b"/v1/directory":
            return _json(self._directory)
        if path == b"/v1/events":
            answer = {"new": len(orjson.loads(body)), "duplicate": 0, "rejected": 0, "rejections": []}
            return _json(orjson.dumps(answer))
        if path.endswith(b"/chat/completions"):
            return _WHOLE
        return _json(b"{}")


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def _json(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


_WHOLE: Final = _json(
    orjson.dumps(
        {
            "id": "chatcmpl-instant",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": "instant",
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": GREETING}, "finish_reason": "stop"},
            ],
            "usage": _USAGE,
        }
    )
)


async def _serve(port: int, directory: bytes) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Neighbour(directory), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), Path(sys.argv[2]).read_bytes()))
