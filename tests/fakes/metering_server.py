"""A metering service behind a real socket, for what speaks HTTP to it from outside of its event loop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx
import uvicorn

from kat_metering.main import create_app
from kat_metering.settings import Settings
from tests.fakes.metering import ADMIN, SERVICE
from tests.fakes.usage_events import a_delivery

_WAIT_SECONDS = 60


@contextmanager
def metering_server(
    settings: Settings, *events: object, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Iterator[str]:
    """The address of a service that has rolled up these events."""
    server = uvicorn.Server(uvicorn.Config(create_app(settings, clock=clock), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        _until(lambda: server.started)
        host, port = server.servers[0].sockets[0].getsockname()[:2]
        address = f"http://{host}:{port}"
        with httpx.Client(base_url=address, timeout=_WAIT_SECONDS) as client:
            _until(lambda: client.get("/readyz").status_code == httpx.codes.OK)
            if events:
                _deliver(client, events)
        yield address
    finally:
        server.should_exit = True
        thread.join()


def _deliver(client: httpx.Client, events: tuple[object, ...]) -> None:
    headers = {**SERVICE, "Content-Type": "application/cloudevents-batch+json"}
    assert client.post("/v1/events", content=a_delivery(*events), headers=headers).json()["new"] == len(events)
    everything = {"from": "2024-01-01"}

    def rolled_up() -> bool:
        totals = client.get("/v1/usage", params=everything, headers=ADMIN).json()["totals"]
        return bool(totals["requests"] == len(events))

    _until(rolled_up)


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the service does not get there")
        time.sleep(0.01)
