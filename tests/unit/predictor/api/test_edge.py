"""The outermost layer: bodies are bounded, work follows its client, what fails inside surfaces."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from kat_predictor.api.edge import RequestEdge
from tests.unit.predictor.api.conftest import MakePredictor

pytestmark = pytest.mark.timeout(30)  # what is wrong here hangs


async def _pieces(count: int, size: int, taken: list[int]) -> AsyncIterator[bytes]:
    for index in range(count):
        taken.append(index)
        yield b"x" * size


async def test_a_body_with_too_great_a_length_is_refused_unread(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(max_body_bytes=1_000)
    taken: list[int] = []
    response = await predictor.client.post(
        "/v1/chat/completions",
        content=_pieces(10, 200, taken),
        headers={"Content-Length": "2000", "Content-Type": "application/json"},
    )
    assert response.status_code == 413
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert response.headers["connection"] == "close"
    assert taken == []


async def test_a_body_of_unknown_length_is_read_up_to_the_limit_only(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(max_body_bytes=1_000)
    taken: list[int] = []
    response = await predictor.client.post("/v1/chat/completions", content=_pieces(50_000, 200, taken))
    assert response.status_code == 413
    assert len(taken) <= 7


async def test_a_body_of_exactly_the_limit_is_taken() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = await Request(scope, receive).body()
        await Response(str(len(body)))(scope, receive, send)

    transport = httpx.ASGITransport(RequestEdge(app, max_body_bytes=1_000))
    async with httpx.AsyncClient(transport=transport, base_url="http://edge") as client:
        response = await client.post("/", content=_pieces(5, 200, []))
    assert response.text == "1000"


def _scope() -> dict[str, Any]:
    return {"type": "http", "path": "/v1/x", "headers": [], "method": "POST"}


async def test_a_client_that_leaves_while_sending_its_body_reaches_nothing() -> None:
    called: list[Scope] = []
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": b"x", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        called.append(scope)

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: Any) -> None:
        raise AssertionError("there is nobody to send to")

    await RequestEdge(app, max_body_bytes=10)(_scope(), receive, send)
    assert called == []


async def test_the_applications_failure_is_not_swallowed() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise LookupError("broken inside")

    messages: list[dict[str, Any]] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        if not messages:
            await asyncio.Event().wait()  # the client stays
        return messages.pop()

    async def send(message: Any) -> None: ...

    with pytest.raises(LookupError, match="broken inside"):
        await RequestEdge(app, max_body_bytes=10)(_scope(), receive, send)


@pytest.mark.parametrize(
    ("begun", "statuses"), [(False, [503]), (True, [200])], ids=["before its answer", "within its answer"]
)
async def test_a_request_that_the_server_gives_up_on_hears_so_while_its_answer_has_not_begun(
    begun: bool, statuses: list[int]
) -> None:
    waiting = asyncio.Event()
    sent: list[Any] = []
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        waiting.set()
        await asyncio.Event().wait()

    async def receive() -> dict[str, Any]:
        if not messages:
            await asyncio.Event().wait()  # the client stays
        return messages.pop()

    async def send(message: Any) -> None:
        sent.append(message)

    request = asyncio.ensure_future(RequestEdge(app, max_body_bytes=10)(_scope(), receive, send))
    await waiting.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert [message["status"] for message in sent if message["type"] == "http.response.start"] == statuses


async def test_what_is_no_http_request_passes_through() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def receive() -> dict[str, Any]:
        raise AssertionError("not ours to read")

    async def send(message: Any) -> None: ...

    await RequestEdge(app, max_body_bytes=10)({"type": "lifespan"}, receive, send)
    assert seen == ["lifespan"]
