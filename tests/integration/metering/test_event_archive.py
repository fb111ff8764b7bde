"""Files of events, whatever their number."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
from sqlalchemy import Engine, text

from kat.usage_event import Segment
from kat_metering.event_archive import Totals, archive_totals, write_archive


def test_a_file_of_many_blocks_adds_up(engine: Engine, tmp_path: Path) -> None:
    """More than one block of CSV, so that batches and their sums are put together."""
    with engine.begin() as connection:
        connection.execute(text(
            "CREATE TABLE many AS SELECT gen_random_uuid() AS id, now() AS occurred_at, now() AS stored_at,"
            " repeat('t', 100) AS tenant, NULL::uuid AS api_key_id, 'p' AS project, 'm' AS model, 'on' AS mode,"
            " 'model' AS mode_source, 'ok' AS status, NULL AS finish_reason, n AS prompt, 0 AS prompt_cached, 1 AS judge,"
            " n AS think, 2 AS answer, 3 AS control, 1.5::float8 AS ttft_ms, NULL::float8 AS ttfa_ms,"
            " 2.5::float8 AS duration_ms, 9999999.999999999::numeric AS engine_seconds, '' AS task, '{}' AS labels,"
            " 's' AS source FROM generate_series(1, 50000) n"
        ))  # fmt: skip
    path = tmp_path / "many.parquet"
    with psycopg.connect(engine.url.set(drivername="postgresql").render_as_string(hide_password=False)) as connection:
        write_archive(connection, "many", path)
    with pq.ParquetFile(path) as file:
        assert file.num_row_groups > 1
    series = 50_000 * 50_001 // 2
    tokens = {"prompt": series, "prompt_cached": 0, "judge": 50_000, "think": series, "answer": 100_000}
    assert archive_totals(path) == Totals(
        50_000,
        tuple({**tokens, "control": 150_000}[segment] for segment in Segment),
        50_000 * Decimal("9999999.999999999"),
    )
