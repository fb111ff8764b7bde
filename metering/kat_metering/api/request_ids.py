"""Each request has an id: the caller's `X-Request-Id`, or a fresh one. The answer names it, and so does the audit."""

from __future__ import annotations

import re
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kat.usage_event import new_event_id
from kat_metering.store.acting import RequestContext, serving

HEADER: Final = "X-Request-Id"
_ACCEPTED: Final = re.compile(r"[A-Za-z0-9._:+/=-]{1,128}")


class RequestIds:
    """ASGI middleware. Outside of a request that it serves, nobody acts as an administrator."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        # Others' text goes into log and audit: only what is plainly an id.
        request_id = given if _ACCEPTED.fullmatch(given) else str(new_event_id())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        with serving(RequestContext(request_id)):
            await self._app(scope, receive, send_with_id)
