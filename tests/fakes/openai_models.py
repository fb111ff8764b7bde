"""Models behind an OpenAI-compatible API, as an httpx transport or as a server on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

Answering = Callable[[str, dict[str, Any]], dict[str, Any]]
"""From the host, or the first part of the path, and the request's body to the answer's body."""


def completion(
    content: str,
    *,
    tokens: int,
    prompt_tokens: int = 10,
    mode: str | None = None,
    finish_reason: str = "stop",
    answer_id: str = "x",
) -> dict[str, Any]:
    """The body of an answer."""
    return {
        "id": answer_id,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": prompt_tokens, "completion_tokens": tokens, "total_tokens": prompt_tokens + tokens},
        **({} if mode is None else {"kat": {"mode": mode, "mode_source": "model"}}),
    }


class Models(httpx.AsyncBaseTransport):
    """Answers each host as `answering` says; a status in place of a body is an error. Keeps what it was sent."""

    def __init__(self, answering: Callable[[str, dict[str, Any]], dict[str, Any] | int]) -> None:
        self._answering = answering
        self.sent: list[tuple[str, dict[str, Any], str | None]] = []
        """Host, body, Authorization."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(await request.aread())
        self.sent.append((request.url.host, body, request.headers.get("Authorization")))
        answer = self._answering(request.url.host, body)
        return (
            httpx.Response(answer, text="a secret prompt")
            if isinstance(answer, int)
            else httpx.Response(200, json=answer)
        )


@contextmanager
def model_server(answering: Answering) -> Iterator[str]:
    """The address of a server; `{address}/NAME/chat/completions` is answered by `answering(NAME, body)`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = json.dumps(answering(self.path.split("/")[1], body)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
