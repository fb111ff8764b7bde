"""Delivery to a real HTTP server that is away, fails, and commits without saying so: every event arrives once."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random

import httpx
import orjson
import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from kat_predictor.delivery import Delivery
from kat_predictor.metrics import Metrics
from kat_predictor.outbox import Outbox
from tests.fakes.conditions import until
from tests.fakes.tenants import a_usage_event


class Metering:
    """Commits batches, knows events by id, and misbehaves as told by a seeded die."""

    def __init__(self, *, seed: int, misbehaves: bool) -> None:
        self.committed: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.requests = 0
        self._die = Random(seed)
        self._misbehaves = misbehaves

    def fault(self) -> str | None:
        self.requests += 1
        if not self._misbehaves:
            return None
        fault = self._die.choice([None, "refuse", "lose the answer", "cut the answer"])
        if fault is not None:
            self.faults[fault] += 1
        return fault

    def commit(self, batch: list[str]) -> dict[str, int]:
        self.sent.update(batch)
        new = [event_id for event_id in batch if event_id not in self.committed]
        self.committed.update(new)
        return {"new": len(new), "duplicate": len(batch) - len(new), "rejected": 0}


@contextmanager
def serving(metering: Metering, port: int = 0) -> Generator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            fault = metering.fault()
            if fault == "refuse":
                self.send_response(503)
                self.end_headers()
                return
            answer = orjson.dumps(metering.commit([event["id"] for event in orjson.loads(body)]))
            if fault == "lose the answer":
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer[: len(answer) // 2] if fault == "cut the answer" else answer)

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@asynccontextmanager
async def delivering(path: Path, port: int) -> AsyncGenerator[tuple[Outbox, Delivery]]:
    """A predictor's edge. Leaving the block is like dying: nothing is drained."""
    outbox = await Outbox.open(path, max_events=100_000)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=5) as client:
        delivery = Delivery(
            outbox=outbox,
            client=client,
            token=SecretStr("service"),
            metrics=Metrics(CollectorRegistry()),
            linger_seconds=0.001,
            first_pause_seconds=0.001,
        )
        run = asyncio.create_task(delivery.run())
        yield outbox, delivery
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
    await outbox.close()


async def put(outbox: Outbox, count: int) -> list[str]:
    events = [a_usage_event() for _ in range(count)]
    for event in events:
        await outbox.reserve().put(event)
    return [str(event.id) for event in events]


async def until_empty(outbox: Outbox) -> None:
    await until(lambda: not outbox.events, seconds=60)


@pytest.mark.parametrize("seed", range(3))
async def test_every_event_is_committed_once_whatever_goes_wrong(tmp_path: Path, seed: int) -> None:
    metering = Metering(seed=seed, misbehaves=True)
    with serving(metering) as port:
        async with delivering(tmp_path / "outbox", port) as (outbox, _):
            ids = []
            while len(metering.faults) < 3:
                before = metering.requests
                ids += await put(outbox, 20)
                await until(lambda: metering.requests > before)  # noqa: B023 - awaited before the next round
            await until_empty(outbox)
    assert metering.committed == Counter(ids)
    assert max(metering.sent.values()) > 1, "no answer was lost"


async def test_a_predictor_that_died_delivers_after_its_restart(tmp_path: Path) -> None:
    metering = Metering(seed=0, misbehaves=False)
    with serving(metering) as port:
        async with delivering(tmp_path / "outbox", port) as (outbox, _):
            ids = await put(outbox, 500)
        async with delivering(tmp_path / "outbox", port) as (outbox, _):
            ids += await put(outbox, 10)
            await until_empty(outbox)
    assert metering.committed == Counter(ids)


async def test_events_wait_while_metering_is_away(tmp_path: Path) -> None:
    metering = Metering(seed=0, misbehaves=False)
    with serving(metering) as port:
        pass
    async with delivering(tmp_path / "outbox", port) as (outbox, delivery):
        ids = await put(outbox, 50)
        await until(lambda: delivery._failures)
        assert outbox.events == 50
        with serving(metering, port):
            await until_empty(outbox)
    assert metering.committed == Counter(ids)
