"""The load generator's client sees where answers end, however the network cuts them."""

from __future__ import annotations

import asyncio

import pytest

from bench.instant.load import Client

REQUEST = b"POST / HTTP/1.1\r\n\r\n"
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"word"}}]}\n\n'
CHUNK = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
STREAM = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%b%b0\r\n\r\n" % (CHUNK, CHUNK)


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)


@pytest.fixture
async def client() -> Client:
    client = Client(REQUEST)
    client.connection_made(Wire())
    return client


async def test_each_ask_sends_the_request() -> None:
    wire = Wire()
    client = Client(REQUEST)
    client.connection_made(wire)
    client.ask()
    client.ask()
    assert wire.written == 2 * REQUEST


@pytest.mark.parametrize("at", range(1, len(STREAM)))
async def test_a_stream_that_is_cut_anywhere_ends_at_its_end_with_all_its_events(client: Client, at: int) -> None:
    answered = client.ask()
    client.data_received(STREAM[:at])
    assert not answered.done()
    client.data_received(STREAM[at:])
    assert answered.done()
    assert client.events == 2


async def test_a_body_of_known_length_ends_with_its_last_byte(client: Client) -> None:
    answered = client.ask()
    client.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n12")
    assert not answered.done()
    client.data_received(b"34")
    assert answered.done()


async def test_a_refusal_is_an_error_that_shows_it(client: Client) -> None:
    answered = client.ask()
    client.data_received(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")
    with pytest.raises(RuntimeError, match="503 Service Unavailable"):
        await answered


async def test_a_connection_that_closes_before_the_answer_is_an_error(client: Client) -> None:
    answered = client.ask()
    client.connection_lost(None)
    with pytest.raises(RuntimeError, match="closed the connection"):
        await answered
