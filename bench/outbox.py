"""How fast usage events reach the disk, and what that adds to a request.

    .venv/bin/python bench/outbox.py [--json] [--directory DIR]

Two loads on one outbox: as many requests as a busy replica ends at once (throughput), and requests that end at a
steady rate (latency added to each). Beside them what the disk itself takes for one commit of one event, which no
outbox can beat.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import click

from kat.usage_event import Mode, ModeSource, Status, Tokens, Usage, UsageEvent, new_event_id, time_of
from kat_predictor.outbox import Outbox
from kat_predictor.outbox_file import OutboxFile

_KEY = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


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


async def _put_all(outbox: Outbox, events: Sequence[UsageEvent]) -> list[float]:
    """Store events one after another; seconds that each took to be on disk."""
    seconds = []
    for event in events:
        started = time.perf_counter()
        await outbox.reserve().put(event)
        seconds.append(time.perf_counter() - started)
    return seconds


async def _throughput(path: Path, *, events: int, concurrency: int) -> float:
    outbox = await Outbox.open(path, max_events=10 * events)
    ready = [_event() for _ in range(events)]
    started = time.perf_counter()
    await asyncio.gather(*(_put_all(outbox, ready[task::concurrency]) for task in range(concurrency)))
    rate = events / (time.perf_counter() - started)
    await outbox.close()
    return rate


async def _paced(path: Path, *, events: int, per_second: float) -> list[float]:
    outbox = await Outbox.open(path, max_events=10 * events)
    ready = [_event() for _ in range(events)]
    started = time.perf_counter()
    tasks = []
    for number, event in enumerate(ready):
        await asyncio.sleep(max(0.0, started + number / per_second - time.perf_counter()))
        tasks.append(asyncio.create_task(_put_all(outbox, [event])))
    seconds = [latency for task in tasks for latency in await task]
    await outbox.close()
    return seconds


def _bare_commits(path: Path, *, events: int) -> list[float]:
    file = OutboxFile.open(path)
    body = _event().model_dump_json().encode()
    seconds = []
    for _ in range(events):
        started = time.perf_counter()
        file.write([(time.time(), body)])
        seconds.append(time.perf_counter() - started)
    file.close()
    return seconds


def _percentile_ms(seconds: Sequence[float], percent: float) -> float:
    ordered = sorted(seconds)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1000, 3)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="End with one JSON object on one line.")
@click.option("--directory", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Disk to measure.")
@click.option("--events", default=20_000, show_default=True)
@click.option("--concurrency", default=64, show_default=True)
@click.option("--per-second", default=500.0, show_default=True)
def main(*, as_json: bool, directory: Path | None, events: int, concurrency: int, per_second: float) -> None:
    """Measure the outbox."""
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        home = Path(folder)
        bare = _bare_commits(home / "bare.sqlite3", events=2_000)
        rate = asyncio.run(_throughput(home / "throughput.sqlite3", events=events, concurrency=concurrency))
        paced = asyncio.run(_paced(home / "paced.sqlite3", events=int(10 * per_second), per_second=per_second))
    result = {
        "benchmark": "outbox",
        "sqlite": sqlite3.sqlite_version,
        "events": events,
        "concurrency": concurrency,
        "durable_events_per_second": round(rate),
        "paced_per_second": per_second,
        "added_ms": {f"p{percent}": _percentile_ms(paced, percent) for percent in (50, 95, 99)},
        "bare_commit_ms": {f"p{percent}": _percentile_ms(bare, percent) for percent in (50, 95, 99)},
    }
    print(f"{result['durable_events_per_second']:,} durable events/s, {concurrency} requests ending at once")
    print(f"added to a request at {per_second:g} requests/s, in ms: {result['added_ms']}")
    print(f"one bare commit of one event on this disk, in ms: {result['bare_commit_ms']}")
    if as_json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
