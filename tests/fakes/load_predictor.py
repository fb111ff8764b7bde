"""The accounting side of a predictor under load: `python -m tests.fakes.load_predictor FOLDER URL TOKEN RATE`.

Ends RATE requests a second: each event goes into the real outbox, in FOLDER, and the real delivery carries it to
metering at URL. Two ledgers in FOLDER say what was going on: `started` has a line for each request that ran,
`completed` for each whose client saw the end. Told by SIGTERM, it ends no more requests, delivers what is left, and
exits.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from pathlib import Path

import httpx
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from kat.usage_event import Mode, ModeSource, Status, Tokens, Usage, UsageEvent, new_event_id, time_of
from kat_predictor.delivery import Delivery
from kat_predictor.metrics import Metrics
from kat_predictor.outbox import Outbox

TICK_SECONDS = 0.02
DRAIN_SECONDS = 120.0


def an_ended_request() -> UsageEvent:
    event_id = new_event_id()
    tokens = Tokens(
        prompt=random.randrange(2_000),
        judge=random.randrange(60),
        think=random.randrange(9_000),
        answer=random.randrange(900),
        control=12,
    )
    usage = Usage(
        tenant=f"tenant-{event_id.int % 5}",
        model="KAT-V1-40B",
        mode=Mode.ON,
        mode_source=ModeSource.MODEL,
        tokens=tokens,
        status=Status.OK,
        duration_ms=12.5,
        engine_seconds=0.01,
    )
    return UsageEvent(id=event_id, source="load:8080", subject=usage.tenant, time=time_of(event_id), data=usage)


def line_of(event: UsageEvent) -> str:
    return f"{event.id} {event.data.tokens.prompt_total + event.data.tokens.completion}\n"


class Ledger:
    """Lines that outlive the process: they are with the kernel when `write` returns."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, events: list[UsageEvent]) -> None:
        os.write(self._descriptor, "".join(map(line_of, events)).encode())


async def end_requests(outbox: Outbox, folder: Path, per_second: float, stop: asyncio.Event) -> None:
    started, completed = Ledger(folder / "started"), Ledger(folder / "completed")
    owed, last = 0.0, time.monotonic()
    while not stop.is_set():
        await asyncio.sleep(TICK_SECONDS)
        now = time.monotonic()
        owed += (now - last) * per_second
        last = now
        events = [an_ended_request() for _ in range(int(owed))]
        owed -= len(events)
        started.write(events)
        await asyncio.gather(*(outbox.reserve().put(event) for event in events))
        completed.write(events)


async def main(folder: Path, url: str, token: str, per_second: float) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    outbox = await Outbox.open(folder / "outbox", max_events=10**7)
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        delivery = Delivery(
            outbox=outbox, client=client, token=SecretStr(token), metrics=Metrics(CollectorRegistry()),
            first_pause_seconds=0.1,
        )  # fmt: skip
        sending = asyncio.create_task(delivery.run())
        await end_requests(outbox, folder, per_second, stop)
        left = await delivery.drain(DRAIN_SECONDS)
        sending.cancel()
    await outbox.close()
    sys.exit(left > 0)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], float(sys.argv[4])))
