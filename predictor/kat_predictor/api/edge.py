"""The outermost layer of the server: bodies are bounded, and work stops when its client leaves."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kat_predictor.api.answers import error_answer
from kat_predictor.errors import BodyTooLarge


class RequestEdge:
    """ASGI middleware for every HTTP request.

    FastAPI leaves a handler running when its client disconnects before the response begins, and a request that
    waits for its first token sends nothing for long. So the handler runs as a task here and is cancelled when the
    connection closes; the task's `finally` blocks have run when this returns.

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
    answered = False

    async def replay() -> Message:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def watched_send(message: Message) -> None:
        nonlocal answered
        await send(message)
        answered = message["type"] == "http.response.body" and not message.get("more_body", False)

    work = asyncio.ensure_future(app(scope, replay, watched_send))
    departure = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait((work, departure), return_when=asyncio.FIRST_COMPLETED)
        gone.set()
        # After a whole answer a connection counts as disconnected too; nothing is left then to be stopped.
        if not answered:
            work.cancel()
        await asyncio.wait((work,))
    except asyncio.CancelledError:
        work.cancel()
        await asyncio.wait((work,))
        raise
    finally:
        departure.cancel()
    if not work.cancelled():
        work.result()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
