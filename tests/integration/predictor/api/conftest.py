"""Real servers as processes of their own, and a small metering that takes their events."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import orjson
import pytest

from kat.directory import Directory
from kat.usage_event import UsageEvent
from tests.fakes.predictor import ACME, KEY, MODEL, directory_of

_PATIENCE_SECONDS = 120


@dataclass
class Metering:
    """Takes events and hands out the directory."""

    port: int = 0
    directory: Directory = field(default_factory=lambda: directory_of(ACME))
    events: list[UsageEvent] = field(default_factory=list)
    away: threading.Event = field(default_factory=threading.Event)
    """While it is set, events are refused as those of a service that has lost its database: 503."""


@contextmanager
def running_metering(directory: Directory | None = None) -> Generator[Metering, None, None]:
    metering = Metering() if directory is None else Metering(directory=directory)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(metering.directory.model_dump_json().encode())

        def do_POST(self) -> None:
            batch = orjson.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if metering.away.is_set():
                self.send_error(503)
                return
            metering.events += (UsageEvent.model_validate_json(orjson.dumps(event)) for event in batch)
            self._answer(orjson.dumps({"new": len(batch), "duplicate": 0, "rejected": 0, "rejections": []}))

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    metering.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield metering
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], object], what: str, patience_seconds: float = _PATIENCE_SECONDS) -> None:
    deadline = time.monotonic() + patience_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited too long for {what}")
        threading.Event().wait(0.02)


@dataclass
class Server:
    """A server's process."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path
    metering: Metering

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {KEY}"}, timeout=_PATIENCE_SECONDS)

    def status(self, path: str) -> int | None:
        """The status of a GET; None when nobody listens."""
        try:
            return httpx.get(self.url + path, timeout=_PATIENCE_SECONDS).status_code
        except httpx.TransportError:
            return None

    def wait_for(self, path: str, status: int | None, *, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        def reached() -> bool:
            if status is not None and self.process.poll() is not None:
                raise AssertionError(f"the server ended: {self.log.read_text()}")
            return self.status(path) == status

        wait_until(reached, f"{path} to answer {status}", patience_seconds)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and wait; the exit code."""
        self.process.send_signal(how)
        return self.process.wait(_PATIENCE_SECONDS)


StartServer = Callable[..., Server]


@contextmanager
def running_server(
    home: Path, command: list[str], settings: dict[str, str], directory: Directory | None = None
) -> Generator[Server, None, None]:
    """A server's process with a metering of its own. Killed at the end, if it still runs."""
    home.mkdir()
    port = free_port()
    log = home / "log"
    with running_metering(directory) as metering, log.open("wb") as output:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("KAT_")},
            "KAT_HOME": str(home),
            "KAT_HOST": "127.0.0.1",
            "KAT_PORT": str(port),
            "KAT_METERING_URL": f"http://127.0.0.1:{metering.port}",
            "KAT_SERVICE_TOKEN": "service",
            "KAT_MODEL_NAME": MODEL,
            "KAT_GRACE_SECONDS": "30",
            **settings,
        }
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        try:
            yield Server(process, port, log, metering)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def scripted_command(**script: object) -> list[str]:
    return [sys.executable, "-m", "tests.fakes.serve_scripted", json.dumps(script)]


@pytest.fixture
def start_server(tmp_path: Path) -> Generator[StartServer, None, None]:
    """Starts servers of scripted engines; further arguments are part of the script."""
    with ExitStack() as stack:

        def start(
            *replies: str,
            ready: bool = True,
            settings: dict[str, str] | None = None,
            home: str = "home",
            **script: object,
        ) -> Server:
            command = scripted_command(replies=replies, **script)
            server = stack.enter_context(running_server(tmp_path / home, command, settings or {}))
            if ready:
                server.wait_for("/v2/health/ready", 200)
            return server

        yield start
