"""What a predictor in a pod needs of metering: the tenant directory, and somebody who takes its events."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from kat.directory import Directory
from kat.usage_event import UsageEvent


@dataclass(slots=True)
class MeteringForPods:
    """Where it is, and which events it was sent."""

    url: str = ""
    events: list[UsageEvent] = field(default_factory=list)


@contextmanager
def metering_for_pods(address: str, directory: Directory) -> Iterator[MeteringForPods]:
    """A server on a free port of `address`, one that pods reach."""
    metering = MeteringForPods()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/v1/directory":
                self._answer(200, directory.model_dump_json().encode())
            else:
                self._answer(404, b"{}")

        def do_POST(self) -> None:
            bodies = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            metering.events += [UsageEvent.model_validate(body) for body in bodies]
            self._answer(200, json.dumps({"new": len(bodies), "duplicate": 0, "rejected": 0}).encode())

        def log_message(self, *_: object) -> None:
            """Nothing."""

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer((address, 0), Handler)
    metering.url = f"http://{address}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield metering
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
