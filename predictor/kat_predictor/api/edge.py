"""The outermost layer of the server: bodies are bounded, and work stops when its client leaves."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kat_predictor.api.answers import error_answer
from kat_predictor.errors import BodyTooLarge, Draining


class RequestEdge:
    """ASGI middleware for every HTTP request.

    FastAPI leaves a handler running when its client disconnects before the response begins, and a request that
    waits for its first token sends nothing for long. So the handler is cancelled here when the connection closes; its
    `finally` blocks have run when this returns.

    Args:
        app: What is served.
        max_body_bytes: A longer body is refused with 413, before more of it is read.
    """

    def __init__(self, app: ASGIApp, *, max_body_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read(scope, receive)
        except BodyTooLarge as error:
            answer = error_answer(error, scope["path"])
            # The rest of the body is never read, so the connection cannot be used again.
            answer.headers["Connection"] = "close"
            await answer(scope, receive, send)
            return
        if body is not None:
            await _serve_while_connected(self._app, scope, body, receive, send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """The body; None when the client left while sending it."""
        limit = self._max_body_bytes
        declared = dict(scope["headers"]).get(b"content-length", b"")
        if declared.isdigit() and int(declared) > limit:
            raise BodyTooLarge(f"The body has {int(declared)} bytes; at most {limit} are accepted.")
        pieces = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            piece = message.get("body", b"")
            size += len(piece)
            if size > limit:
                raise BodyTooLarge(f"The body has more than {limit} bytes, which is the most that is accepted.")
            pieces.append(piece)
            if not message.get("more_body", False):
                return b"".join(pieces)


async def _serve_while_connected(app: ASGIApp, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
    unread = [body]
    gone = asyncio.Event()
    begun = answered = False
    left = False
    work = asyncio.current_task()
    assert work is not None  # noqa: S101 - servers run applications in tasks; narrows the type

    async def replay() -> Message:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def watched_send(message: Message) -> None:
        nonlocal begun, answered
        begun = True
        await send(message)
        answered = message["type"] == "http.response.body" and not message.get("more_body", False)

    async def watch() -> None:
        nonlocal left
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()
        # After a whole answer a connection counts as disconnected too; nothing is left then to be stopped.
        if not answered:
            left = True
            work.cancel()

    departure = asyncio.ensure_future(watch())
    try:
        await app(scope, replay, watched_send)
    except asyncio.CancelledError:
        if left and work.cancelling() == 1:
            return
        await _give_up(scope, receive, send, begun=begun or left)
        raise
    finally:
        departure.cancel()
        if left:
            work.uncancel()


async def _give_up(scope: Scope, receive: Receive, send: Send, *, begun: bool) -> None:
    """The server shuts down, and its grace is over: tell a client that waits for the beginning of its answer."""
    if not begun:
        cut = Draining("This replica has shut down; try again, another one will answer.", retry_after=1)
        await error_answer(cut, scope["path"])(scope, receive, send)
