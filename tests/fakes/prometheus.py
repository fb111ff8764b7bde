"""A Prometheus that says of each pod what a test wants it to say."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Load:
    """Of all pods of a service together."""

    in_flight_on: float = 0.0
    in_flight_off: float = 0.0
    queued: float = 0.0
    arrivals_on: float = 0.0
    arrivals_off: float = 0.0
    seconds_on: float = 20.0
    """Of a request that thinks."""
    seconds_off: float = 2.0


@dataclass(frozen=True)
class ServingPod:
    namespace: str
    service: str
    name: str


@dataclass
class FakePrometheus:
    """Its load may be changed at any time, service by service; `age` is that of the latest samples, in seconds."""

    pods: Callable[[], Iterable[ServingPod]]
    url: str = ""
    age: float = 1.0
    away: bool = False
    queries: int = 0
    loads: dict[tuple[str, str], Load] = field(default_factory=dict)
    busiest: str | None = None
    """A pod that has all of its service's load to itself."""

    def load(self, namespace: str, service: str, load: Load) -> None:
        self.loads[namespace, service] = load

    def answer(self) -> dict[str, Any]:
        by_service: dict[tuple[str, str], list[str]] = {}
        for pod in self.pods():
            by_service.setdefault((pod.namespace, pod.service), []).append(pod.name)
        result: list[dict[str, Any]] = [
            {"metric": {**labels, "signal": signal, "namespace": namespace, "pod": pod}, "value": [0, str(value)]}
            for (namespace, service), pods in by_service.items()
            for pod in pods
            for signal, labels, value in self._samples(namespace, service, pod, pods)
        ]
        return {"status": "success", "data": {"resultType": "vector", "result": result}}

    def _samples(
        self, namespace: str, service: str, pod: str, pods: list[str]
    ) -> Iterator[tuple[str, dict[str, str], float]]:
        load = self.loads.get((namespace, service), Load())
        share = 1 / len(pods) if self.busiest not in pods else float(pod == self.busiest)
        yield "age", {}, self.age
        yield "queued", {}, load.queued * share
        for mode, in_flight, arrivals, seconds in (
            ("on", load.in_flight_on, load.arrivals_on, load.seconds_on),
            ("off", load.in_flight_off, load.arrivals_off, load.seconds_off),
        ):
            yield "in_flight", {"mode": mode}, in_flight * share
            yield "arrivals", {"mode": mode}, arrivals * share
            yield "ended", {"mode": mode}, arrivals * share
            yield "seconds", {"mode": mode}, arrivals * share * seconds


@contextmanager
def fake_prometheus(pods: Callable[[], Iterable[ServingPod]]) -> Iterator[FakePrometheus]:
    prometheus = FakePrometheus(pods)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            prometheus.queries += 1
            status, body = (503, b"away") if prometheus.away else (200, json.dumps(prometheus.answer()).encode())
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    prometheus.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield prometheus
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
