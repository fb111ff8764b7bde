"""Events per second that metering stores durably, over HTTP, beside what COPY alone reaches on the same server.

    python bench/ingest.py [--events N] [--batch N] [--senders N] [--json]

Starts a metering service with its own Postgres (fsync on, on the disk of --folder), sends batches of distinct events
over loopback HTTP from threads of this process, then copies as many rows straight into the events' table, committing
every batch. Sender, service and Postgres share the machine's processors.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import orjson
import psycopg

from kat.processes import Part, port_or_free
from kat.usage_event import BATCH_CONTENT_TYPE, UsageEvent, new_event_id, time_of
from kat_metering.ingest import copy_columns, row_of
from kat_metering.store.embedded import EmbeddedPostgres

READY_SECONDS = 120


def an_event(number: int) -> dict[str, Any]:
    event_id = new_event_id()
    tenant = f"tenant-{number % 20}"
    return {
        "id": str(event_id),
        "source": "bench",
        "subject": tenant,
        "time": time_of(event_id).isoformat(),
        "data": {
            "tenant": tenant,
            "api_key_id": str(event_id),
            "model": "KAT-V1-40B",
            "mode": ("on", "off")[number % 2],
            "mode_source": "model",
            "tokens": {
                "prompt": 90 + number % 1_000,
                "judge": 30,
                "think": number % 3_000,
                "answer": 200,
                "control": 12,
            },
            "status": "ok",
            "finish_reason": "stop",
            "ttft_ms": 81.25,
            "ttfa_ms": 1_900.5,
            "duration_ms": 4_000.75,
            "engine_seconds": 0.75,
            "labels": {"task": "humaneval"},
        },
    }


def deliveries(events: int, batch: int) -> list[bytes]:
    return [orjson.dumps([an_event(start + i) for i in range(batch)]) for start in range(0, events, batch)]


def send(url: str, token: str, bodies: list[bytes]) -> int:
    """How many events were new."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": BATCH_CONTENT_TYPE}
    new = 0
    with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        for body in bodies:
            new += client.post("/v1/events", content=body).raise_for_status().json()["new"]
    return new


def over_http(url: str, token: str, bodies: list[bytes], senders: int) -> tuple[int, float]:
    """Events stored, and seconds."""
    started = time.perf_counter()
    with ThreadPoolExecutor(senders) as pool:
        new = sum(pool.map(lambda i: send(url, token, bodies[i::senders]), range(senders)))
    return new, time.perf_counter() - started


def by_copy(dsn: str, bodies: list[bytes]) -> float:
    """Seconds to COPY the same kind of rows, one commit a batch; the rows are made beforehand."""
    batches = [[row_of(UsageEvent.model_validate(event)) for event in orjson.loads(body)] for body in bodies]
    with psycopg.connect(dsn) as connection:
        started = time.perf_counter()
        for rows in batches:
            with connection.transaction(), connection.cursor().copy(copy_columns("usage_event")) as copy:
                for row in rows:
                    copy.write_row(row)
        return time.perf_counter() - started


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    home = Path(tempfile.mkdtemp(prefix="kat-bench-", dir=arguments.folder))
    token, port = secrets.token_urlsafe(24), port_or_free(0)
    url = f"http://127.0.0.1:{port}"
    service = Part(
        name="metering",
        argv=[str(Path(sys.executable).with_name("kat")), "metering", "serve"],
        env={
            "KAT_HOME": str(home),
            "KAT_ADMIN_TOKEN": token[::-1],
            "KAT_SERVICE_TOKEN": token,
            "KAT_METERING_PORT": str(port),
        },
        log=home / "metering.log",
        ready_url=f"{url}/readyz",
    )
    try:
        service.start()
        service.wait_ready(timeout=READY_SECONDS)
        over_http(url, token, deliveries(10 * arguments.batch, arguments.batch), arguments.senders)  # warm-up
        bodies = deliveries(arguments.events, arguments.batch)
        stored, http_seconds = over_http(url, token, bodies, arguments.senders)
        dsn = EmbeddedPostgres(home / "postgres").url.replace("+psycopg", "", 1)
        copy_seconds = by_copy(dsn, deliveries(arguments.events, arguments.batch))
        with psycopg.connect(dsn) as connection:
            version = connection.execute("SHOW server_version").fetchone()
            fsync = connection.execute("SHOW fsync").fetchone()
    finally:
        service.stop(timeout=60)
        shutil.rmtree(home)
    assert version is not None
    assert fsync is not None
    http_rate, copy_rate = stored / http_seconds, len(bodies) * arguments.batch / copy_seconds
    return {
        "benchmark": "ingest",
        "events": stored,
        "batch": arguments.batch,
        "senders": arguments.senders,
        "events_per_second": round(http_rate),
        "raw_copy_rows_per_second": round(copy_rate),
        "ratio_to_raw_copy": round(http_rate / copy_rate, 3),
        "postgres": version[0],
        "fsync": fsync[0],
        "processors": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--senders", type=int, default=2)
    parser.add_argument("--folder", help="where to keep the database meanwhile (default: the temporary folder)")
    parser.add_argument("--json", action="store_true", help="print nothing but the result, as one JSON object")
    arguments = parser.parse_args()
    if not arguments.json:
        print(f"{arguments.events} events in batches of {arguments.batch} from {arguments.senders} senders …")
    result = measure(arguments)
    if not arguments.json:
        print(f"{result['events_per_second']:>10,} events/s over HTTP, committed")
        print(f"{result['raw_copy_rows_per_second']:>10,} rows/s by COPY alone")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
