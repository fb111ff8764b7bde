"""How fast usage events reach the disk, and what that adds to a request.

    .venv/bin/python bench/outbox.py [--json] [--directory DIR] [--sync group|commit]

Two loads on one outbox: as many requests as a busy replica ends at once, until the disk holds all of them
(throughput), and requests that end at a steady rate while events are delivered to a sink that acknowledges at once
(added latency: from the usage event to the end of waiting for the outbox). Beside each figure what bounds it: a bare
write of the same bytes, alone and with the disk waited for, and how long a task waits that only gives way to the event
loop once, which is the loop's own unrest on this machine. Nothing is subtracted.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import tempfile
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, get_args
from uuid import UUID

import click
import httpx
import orjson
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from kat.usage_event import Mode, ModeSource, Status, Tokens, Usage, UsageEvent, new_event_id, time_of
from kat_predictor.delivery import Delivery
from kat_predictor.metrics import Metrics
from kat_predictor.outbox import Outbox, Sync
from kat_predictor.outbox_record import Record, encode

_KEY = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
_RATES: Final = (500.0, 1_000.0)
_PERCENTILES: Final = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class _Paced:
    """Seconds: what each request waited for the outbox, what for the loop alone, and what for the disk to follow."""

    added: list[float] = field(default_factory=list)
    control: list[float] = field(default_factory=list)
    behind: list[float] = field(default_factory=list)


def _event() -> UsageEvent:
    event_id = new_event_id()
    usage = Usage(
        tenant="bench",
        api_key_id=_KEY,
        model="smollm2-135m",
        mode=Mode.ON,
        mode_source=ModeSource.MODEL,
        tokens=Tokens(prompt=210, judge=24, think=310, answer=96, control=9),
        status=Status.OK,
        finish_reason="stop",
        ttft_ms=41.5,
        ttfa_ms=5_120.25,
        duration_ms=6_801.75,
        engine_seconds=1.75,
        labels={"task": "humaneval"},
    )
    return UsageEvent(id=event_id, source="bench:8080", subject="bench", time=time_of(event_id), data=usage)


async def _throughput(path: Path, *, events: int, concurrency: int, sync: Sync) -> float:
    """Events a second, until the disk holds all of them."""
    outbox = await Outbox.open(path, max_events=10 * events, sync=sync)
    ready = [_event() for _ in range(events)]

    async def put_all(own: Sequence[UsageEvent]) -> None:
        for event in own:
            await outbox.reserve().put(event)
            await asyncio.sleep(0)  # a request ends, another one's turn

    started = time.perf_counter()
    await asyncio.gather(*(put_all(ready[task::concurrency]) for task in range(concurrency)))
    await outbox.synced()
    rate = events / (time.perf_counter() - started)
    await outbox.close()
    return rate


async def _paced(path: Path, *, seconds: float, per_second: float, sync: Sync) -> _Paced:
    measured = _Paced()
    outbox = await Outbox.open(path, max_events=1_000_000, sync=sync)

    async def request(event: UsageEvent) -> None:
        started = time.perf_counter()
        await outbox.reserve().put(event)
        measured.added.append(time.perf_counter() - started)

    async def watch_the_disk() -> None:
        while True:
            await asyncio.sleep(0.02)
            started = time.perf_counter()
            await outbox.synced()
            measured.behind.append(time.perf_counter() - started)

    async with _delivering(outbox):
        watch = asyncio.create_task(watch_the_disk())
        started = time.perf_counter()
        requests = set()
        for number in range(int(seconds * per_second)):
            await asyncio.sleep(max(0.0, started + number / per_second - time.perf_counter()))
            before = time.perf_counter()
            await asyncio.sleep(0)
            measured.control.append(time.perf_counter() - before)
            task = asyncio.create_task(request(_event()))
            requests.add(task)
            task.add_done_callback(requests.discard)
        await asyncio.gather(*requests)
        watch.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watch
    await outbox.close()
    return measured


@contextlib.asynccontextmanager
async def _delivering(outbox: Outbox) -> AsyncGenerator[None]:
    """Deliver, as the predictor does, to a sink that acknowledges at once."""

    def acknowledge(request: httpx.Request) -> httpx.Response:
        events = len(orjson.loads(request.content))
        return httpx.Response(200, json={"new": events, "duplicate": 0, "rejected": 0})

    sink = httpx.MockTransport(acknowledge)
    async with httpx.AsyncClient(transport=sink, base_url="http://metering") as client:
        delivery = Delivery(
            outbox=outbox, client=client, token=SecretStr("bench"), metrics=Metrics(CollectorRegistry())
        )
        run = asyncio.create_task(delivery.run())
        yield
        await delivery.drain(10)
        await run


def _bare_writes(path: Path, *, events: int, sync: bool) -> list[float]:
    """Seconds of a write of one record each, with the disk waited for or not."""
    line = encode(Record(time.time(), _event().model_dump_json().encode()))
    seconds = []
    with path.open("wb", buffering=0) as file:
        for _ in range(events):
            started = time.perf_counter()
            file.write(line)
            if sync:
                os.fdatasync(file.fileno())
            seconds.append(time.perf_counter() - started)
    return seconds


def _milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {
        f"p{percent}": round(ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] * 1000, 3)
        for percent in _PERCENTILES
    }


def _print_row(what: str, milliseconds: Mapping[str, float]) -> None:
    print(f"{what:<58}" + "".join(f"{value:>8.3f}" for value in milliseconds.values()))


@click.command()
@click.option("--json", "as_json", is_flag=True, help="End with one JSON object on one line.")
@click.option("--directory", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Disk to measure.")
@click.option("--sync", type=click.Choice(get_args(Sync)), default="group", show_default=True)
@click.option("--events", default=20_000, show_default=True)
@click.option("--concurrency", default=64, show_default=True)
@click.option("--seconds", default=5.0, show_default=True, help="Of each steady rate.")
def main(*, as_json: bool, directory: Path | None, sync: Sync, events: int, concurrency: int, seconds: float) -> None:
    """Measure the outbox."""
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        home = Path(folder)
        bare_write = _milliseconds(_bare_writes(home / "write", events=5_000, sync=False))
        bare_commit = _milliseconds(_bare_writes(home / "commit", events=2_000, sync=True))
        rate = asyncio.run(_throughput(home / "throughput", events=events, concurrency=concurrency, sync=sync))
        paced = {
            per_second: asyncio.run(
                _paced(home / f"paced-{per_second:g}", seconds=seconds, per_second=per_second, sync=sync)
            )
            for per_second in _RATES
        }
    busiest_rate = _RATES[-1]
    busiest = paced[busiest_rate]
    behind = _milliseconds(busiest.behind)
    result = {
        "benchmark": "outbox",
        "python": platform.python_version(),
        "sync": sync,
        "events": events,
        "concurrency": concurrency,
        "durable_events_per_second": round(rate),
        "paced_per_second": busiest_rate,
        "added_ms": _milliseconds(busiest.added),
        "control_ms": _milliseconds(busiest.control),
        "disk_behind_ms": behind,
        "at_rate": {
            f"{per_second:g}": {"added_ms": _milliseconds(one.added), "control_ms": _milliseconds(one.control)}
            for per_second, one in paced.items()
        },
        "bare_write_ms": bare_write,
        "bare_commit_ms": bare_commit,
        "ratio_bare_commit_p99": round(bare_commit["p99"] / _milliseconds(busiest.added)["p99"], 2),
    }
    print(f"{result['durable_events_per_second']:,} events/s until the disk holds all, {concurrency} requests at once")
    print()
    print(f"{'milliseconds':<58}{'p50':>8}{'p95':>8}{'p99':>8}")
    for per_second, one in paced.items():
        _print_row(f"added to a request at {per_second:g} requests/s", _milliseconds(one.added))
        _print_row("  the loop's own turn at the same moments", _milliseconds(one.control))
    _print_row(f"until the disk has followed, {busiest_rate:g} requests/s", behind)
    _print_row("a bare write of one record", bare_write)
    _print_row("  with the disk waited for, as a commit does", bare_commit)
    print()
    print(f"a bare commit takes {result['ratio_bare_commit_p99']:g} times what the outbox adds, both at p99")
    if as_json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
