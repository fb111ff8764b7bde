"""How long a tenant's month takes to answer from the roll-up, and how fast events are rolled up.

    python bench/rollup.py [--events N] [--runs N] [--folder DIR] [--json]

Fills a Postgres of its own (fsync on) with a month of one large tenant's events and a tenth as many of ten others, by
SQL; rolls them up as the service does; then asks for the tenant's usage through its row-level security, each grouping
in turn. Takes some minutes and 6 GB of disk; --events 1000000 is quicker.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from kat.logs import configure_logs
from kat_metering import valuation
from kat_metering.keeper import prepare
from kat_metering.periods import Window
from kat_metering.rollup import roll_up
from kat_metering.savings_report import Dimension
from kat_metering.store.embedded import EmbeddedPostgres
from kat_metering.store.engine import make_engine, reading, without_time_limit
from kat_metering.store.partitions import ensure_partitions, month_after, month_of
from kat_metering.usage import UsageQuery

TENANT = "large"
PIECE = 500_000
GROUPINGS: tuple[tuple[Dimension, ...], ...] = (
    (),
    (Dimension.DAY,),
    (Dimension.TENANT, Dimension.DAY, Dimension.MODE, Dimension.MODEL),
    (Dimension.PROJECT,),
    (Dimension.PROJECT, Dimension.API_KEY_ID, Dimension.MODEL, Dimension.MODE),
)

# Eight keys in four projects, each bound to one of two models; both modes, chosen in two ways; four classes of task;
# prompts of three classes; one request in fifty cut short. The multipliers are primes: every combination occurs.
FILL = """
    INSERT INTO usage_event (id, occurred_at, tenant, api_key_id, project, model, mode, mode_source, status,
        finish_reason, prompt, prompt_cached, judge, think, answer, control, ttft_ms, ttfa_ms, duration_ms,
        engine_seconds, task, labels, source)
    SELECT (lpad(to_hex(ms), 12, '0') || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid,
        to_timestamp(ms / 1000.0), CASE WHEN n % 11 = 0 THEN 'small-' || n % 10 ELSE :tenant END,
        ('00000000-0000-7000-8000-00000000000' || key)::uuid, 'project-' || key % 4,
        (ARRAY['KAT-V1-40B', 'smollm2-135m'])[1 + key % 2], (ARRAY['on', 'off'])[1 + (n * 7919 % 10007) % 2],
        (ARRAY['model', 'request'])[1 + (n * 104729 % 10009) % 2],
        CASE WHEN n * 15485863 % 50 = 0 THEN 'length' ELSE 'ok' END, 'stop',
        (ARRAY[100, 700, 3000])[1 + (n * 1299709 % 10037) % 3], 0, 30, n % 3000, 200, 12, 80.5, 1900.25, 4000.5, 0.75,
        (ARRAY['', 'humaneval', 'aime2024', 'chat'])[1 + (n * 611953 % 10039) % 4], '{}', 'bench'
    FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) n,
        LATERAL (SELECT (:start_ms + n * CAST(:step_ms AS float8))::bigint AS ms, (n * 32452843 % 10061) % 8 AS key) chosen
"""


def fill_and_roll_up(engine: Engine, month: datetime, events: int) -> tuple[int, float]:
    """Events in all, and the seconds that rolling them up took, in passes of half a million."""
    start_ms = month.timestamp() * 1000
    total = events + events // 10
    step_ms = (month_after(month).timestamp() * 1000 - start_ms) / total
    seconds = 0.0
    for first in range(0, total, PIECE):
        last = min(first + PIECE, total) - 1
        with engine.begin() as connection:
            without_time_limit(connection)
            connection.execute(
                text(FILL),
                {"tenant": TENANT, "first": first, "last": last, "start_ms": start_ms, "step_ms": step_ms},
            )
        started = time.perf_counter()
        roll_up(engine)
        seconds += time.perf_counter() - started
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM (ANALYZE) usage_hourly"))
    return total, seconds


def answers(engine: Engine, month: datetime, runs: int) -> dict[str, float]:
    """Median milliseconds of a report, by grouping."""
    window = Window.month(f"{month:%Y-%m}")
    found = {}
    for group_by in GROUPINGS:
        taken = []
        for _ in range(runs):
            started = time.perf_counter()
            with reading(engine, TENANT) as connection:
                valuation.usage(connection, UsageQuery(window, TENANT, group_by))
            taken.append(1000 * (time.perf_counter() - started))
        found["+".join(group_by) or "total"] = round(statistics.median(taken), 1)
    return found


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    load = os.getloadavg()[0]
    month = month_after(month_of(datetime.now(UTC)), -1)
    with (
        tempfile.TemporaryDirectory(prefix="kat-bench-", dir=arguments.folder) as folder,
        EmbeddedPostgres(Path(folder) / "postgres") as server,
    ):
        engine = make_engine(server.url, connections=3, timeout_seconds=600)
        prepare(engine, migrate=True, currency="USD", now=datetime.now(UTC))
        ensure_partitions(engine, [month])
        total, seconds = fill_and_roll_up(engine, month, arguments.events)
        with engine.connect() as connection:
            count = text("SELECT count(*), sum(requests) FROM usage_hourly WHERE tenant = :tenant")
            rows, requests = connection.execute(count, {"tenant": TENANT}).one()
        taken = answers(engine, month, arguments.runs)
        engine.dispose()
    return {
        "benchmark": "rollup",
        "events_of_tenant": int(requests),
        "hourly_rows_of_tenant": rows,
        "rolled_up_events_per_second": round(total / seconds),
        "answer_ms": taken,
        "slowest_answer_ms": max(taken.values()),
        "processors": os.cpu_count(),
        "load_before": round(load, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000, help="of the large tenant")
    parser.add_argument("--runs", type=int, default=9, help="how often each report is asked for")
    parser.add_argument("--folder", help="where to keep the database meanwhile (default: the temporary folder)")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on one line")
    arguments = parser.parse_args()
    configure_logs(quiet=["kat_metering", "alembic"])
    print(f"a month of {arguments.events:,} events of one tenant")
    result = measure(arguments)
    print(f"{result['rolled_up_events_per_second']:>10,} events/s rolled up")
    print(f"{result['hourly_rows_of_tenant']:>10,} hourly rows")
    for grouping, milliseconds in result["answer_ms"].items():
        print(f"{milliseconds:>10} ms for a report by {grouping}")
    if arguments.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
