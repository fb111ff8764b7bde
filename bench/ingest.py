"""Events per second that metering stores durably: over HTTP, and in the database beside what COPY alone reaches.

    python bench/ingest.py [--events N] [--batch N] [--senders N] [--folder DIR] [--grow ROWS…] [--json]

Starts a metering service with its own Postgres (fsync on, on the disk of --folder), sends batches of distinct events
over loopback HTTP from threads of this process (bodies made beforehand), then writes batches on one connection in
turn as metering does and by COPY alone into an identical table that nothing else uses, each committed. Sender,
service and Postgres share the machine's processors. In the end the table is grown to the rows of --grow, and events
are sent once more at each size: minutes and 12 GB of disk at the default sizes; `--grow` without a number leaves it out.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import secrets
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import psycopg

from kat.processes import Part, port_or_free
from kat.usage_event import BATCH_CONTENT_TYPE, new_event_id, time_of
from kat_metering.event_rows import COLUMNS, copy_into, copy_rows
from kat_metering.ingest import store
from kat_metering.intake import Bounds, read_delivery
from kat_metering.store.embedded import EmbeddedPostgres
from kat_metering.store.engine import make_engine
from kat_metering.store.partitions import first_id_at, month_after, month_of

READY_SECONDS = 120
PIECE = 500_000
"""Rows that one statement adds while the table grows."""


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
            "api_key_id": str(UUID(int=number % 40 + 1)),
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


def send(port: int, token: str, bodies: list[bytes]) -> int:
    """How many events were new."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": BATCH_CONTENT_TYPE}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    new = 0
    for body in bodies:
        connection.request("POST", "/v1/events", body, headers)
        answer = connection.getresponse()
        text = answer.read()
        assert answer.status == http.client.OK, text
        new += json.loads(text)["new"]
    connection.close()
    return new


def over_http(port: int, token: str, arguments: argparse.Namespace) -> float:
    """Events a second."""
    bodies = deliveries(arguments.events, arguments.batch)
    started = time.perf_counter()
    with ThreadPoolExecutor(arguments.senders) as pool:
        new = sum(pool.map(lambda i: send(port, token, bodies[i :: arguments.senders]), range(arguments.senders)))
    seconds = time.perf_counter() - started
    assert new == len(bodies) * arguments.batch, f"{new} of {len(bodies)} batches of {arguments.batch} were new"
    return new / seconds


def in_the_database(url: str, arguments: argparse.Namespace) -> tuple[float, float]:
    """Rows a second as metering stores deliveries that it has read, and by COPY alone: batches of both in turn.

    Both format the same rows within the time measured. The table that COPY alone writes has the same columns,
    constraints, indexes and partition.
    """
    now = datetime.now(UTC)
    bounds = Bounds(max_age=timedelta(days=400), max_ahead=timedelta(days=1))
    intakes = [
        read_delivery(body, now=now, bounds=bounds) for body in deliveries(arguments.events // 2, arguments.batch)
    ]
    engine = make_engine(url, connections=3, timeout_seconds=60)
    ours = alone = 0.0
    with psycopg.connect(url.replace("+psycopg", "", 1)) as connection:
        month = month_of(now)
        connection.execute(f"""
            CREATE TABLE bare_usage (LIKE usage_event INCLUDING ALL) PARTITION BY RANGE (id);
            CREATE TABLE bare_usage_month PARTITION OF bare_usage
                FOR VALUES FROM ('{first_id_at(month)}') TO ('{first_id_at(month_after(month))}')
        """)
        connection.commit()
        for intake in intakes:
            started = time.perf_counter()
            assert store(engine, intake).new == arguments.batch
            ours += time.perf_counter() - started
            started = time.perf_counter()
            with connection.cursor().copy(copy_into("bare_usage")) as copy:
                copy.write("".join(copy_rows([event for _, event in intake.events])))
            connection.commit()
            alone += time.perf_counter() - started
        connection.execute("DROP TABLE bare_usage")
    engine.dispose()
    rows = len(intakes) * arguments.batch
    return rows / ours, rows / alone


def grow(dsn: str, rows: int, *, largest: int) -> None:
    """Fill the table to so many rows, of the `largest` number that this month's days so far have room for, in order."""
    columns = COLUMNS.removeprefix("id, occurred_at, ")
    with psycopg.connect(dsn, autocommit=True) as connection:
        present = connection.execute("SELECT count(*) FROM usage_event").fetchone()
        assert present is not None
        start_ms = month_of(datetime.now(UTC)).timestamp() * 1000
        step_ms = (datetime.now(UTC).timestamp() * 1000 - 3_600_000 - start_ms) / largest
        for first in range(present[0], rows, PIECE):
            connection.execute(
                f"""
                INSERT INTO usage_event (id, occurred_at, {columns})
                SELECT (lpad(to_hex(ms), 12, '0') || '7' || substr(md5(n::text), 1, 3) || '8'
                        || substr(md5(n::text), 4, 15))::uuid, to_timestamp(ms / 1000.0), {columns}
                FROM generate_series(%s::bigint, %s::bigint) n,
                    LATERAL (SELECT (%s + n * %s)::bigint AS ms, 'tenant-' || n %% 20 AS tenant) moment,
                    (SELECT {columns.replace("tenant, ", "", 1)} FROM usage_event LIMIT 1) pattern
                """,
                [first, min(first + PIECE, rows) - 1, start_ms, step_ms],
            )
        connection.execute("VACUUM (ANALYZE) usage_event")
        # What the service still has to roll up, and Postgres to write, is not the ingest's work.
        behind = "SELECT EXISTS (SELECT FROM usage_event, rollup_state WHERE stored_xid >= next_xid)"
        while connection.execute(behind).fetchone() != (False,):
            time.sleep(0.2)
        connection.execute("CHECKPOINT")


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    home = Path(tempfile.mkdtemp(prefix="kat-bench-", dir=arguments.folder))
    token, port = secrets.token_urlsafe(24), port_or_free(0)
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
        ready_url=f"http://127.0.0.1:{port}/readyz",
    )
    url = EmbeddedPostgres(home / "postgres").url
    dsn = url.replace("+psycopg", "", 1)
    load = os.getloadavg()[0]
    try:
        service.start()
        service.wait_ready(timeout=READY_SECONDS)
        send(port, token, deliveries(20 * arguments.batch, arguments.batch))  # warm-up
        result: dict[str, Any] = {
            "benchmark": "ingest",
            "events": arguments.events,
            "batch": arguments.batch,
            "senders": arguments.senders,
            "events_per_second": round(over_http(port, token, arguments)),
        }
        ours, alone = in_the_database(url, arguments)
        result |= {
            "stored_rows_per_second": round(ours),
            "raw_copy_rows_per_second": round(alone),
            "ratio_copy": round(ours / alone, 3),
        }
        for rows in arguments.grow:
            grow(dsn, rows, largest=max(arguments.grow))
            result[f"events_per_second_at_{rows}_rows"] = round(over_http(port, token, arguments))
        if len(arguments.grow) > 1:
            smallest, *_, largest = (result[f"events_per_second_at_{rows}_rows"] for rows in arguments.grow)
            result["ratio_grown"] = round(largest / smallest, 3)
        with psycopg.connect(dsn) as connection:
            for setting in ("server_version", "fsync", "synchronous_commit"):
                found = connection.execute(f"SHOW {setting}").fetchone()
                assert found is not None
                result[setting] = found[0]
    finally:
        service.stop(timeout=60)
        shutil.rmtree(home)
    return {**result, "processors": os.cpu_count(), "load_before": round(load, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--senders", type=int, default=4)
    parser.add_argument("--folder", help="where to keep the database meanwhile (default: the temporary folder)")
    parser.add_argument(
        "--grow", type=int, nargs="*", default=[1_000_000, 20_000_000], help="rows to grow to, in rising order"
    )
    parser.add_argument("--json", action="store_true", help="end with one JSON object on one line")
    arguments = parser.parse_args()
    print(f"{arguments.events:,} events in batches of {arguments.batch} from {arguments.senders} senders")
    result = measure(arguments)
    print(f"{result['events_per_second']:>10,} events/s over HTTP, committed")
    print(f"{result['stored_rows_per_second']:>10,} rows/s as metering stores them, on one connection")
    print(f"{result['raw_copy_rows_per_second']:>10,} rows/s by COPY alone; metering's is {result['ratio_copy']} of it")
    for rows in arguments.grow:
        print(f"{result[f'events_per_second_at_{rows}_rows']:>10,} events/s over HTTP at {rows:,} rows")
    if "ratio_grown" in result:
        print(f"{result['ratio_grown']:>10} of the speed at the smallest size is left at the largest")
    if arguments.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
