"""The layer around the whole server where traces are on: a trace for every request that asks for completions."""

from __future__ import annotations

import time
from typing import Final, Literal

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kat_predictor.request_trace import TRACED, RequestTrace
from kat_predictor.tracing import Tracing

_Operation = Literal["chat", "text_completion"]
_ENDPOINTS: Final[tuple[tuple[str, _Operation, str], ...]] = (
    ("/chat/completions", "chat", "chatcmpl-"),
    ("/completions", "text_completion", "cmpl-"),
    (":predict", "chat", ""),
    ("/infer", "chat", ""),
)
"""How a path ends, what is asked for there, and what stands before ids in the response."""


class TraceEdge:
    """ASGI middleware. However a request ends, its trace ends here, once.

    Args:
        app: What is served.
        tracing: Makes spans of traces.
    """

    def __init__(self, app: ASGIApp, *, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        trace = _opened(scope)
        if trace is None:
            await self._app(scope, receive, send)
            return

        async def noting_send(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start":
                trace.http_status = message["status"]
                content_type = Headers(raw=message["headers"]).get("content-type", "")
                trace.streams = content_type.startswith("text/event-stream")
            else:
                trace.answered = not message.get("more_body", False)

        parent = self._tracing.parent(Headers(scope=scope))
        token = TRACED.set(trace)
        try:
            await self._app(scope, receive, noting_send)
        except Exception as error:
            trace.error = trace.error or type(error).__qualname__
            raise
        finally:
            TRACED.reset(token)
            self._tracing.ended(trace, parent, time.monotonic())


def _opened(scope: Scope) -> RequestTrace | None:
    if scope["type"] != "http" or scope["method"] != "POST":
        return None
    path: str = scope["path"]
    for ending, operation, id_prefix in _ENDPOINTS:
        if path.endswith(ending):
            return RequestTrace(
                operation=operation,
                id_prefix=id_prefix,
                path=path,
                server=_server(scope),
                began=time.monotonic(),
                began_ns=time.time_ns(),
            )
    return None


def _server(scope: Scope) -> tuple[str, int] | None:
    # ASGI allows None, and no port for a Unix socket.
    host, port = scope.get("server") or (None, None)
    return None if host is None or port is None else (host, port)
