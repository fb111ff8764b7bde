"""A month's events as a Parquet file, and what such a file adds up to. Both stream: memory does not grow with them."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from psycopg import sql

from kat.usage_event import Segment
from kat_metering.money import exact_sum

_PLAIN_SCALE: Final = 30
_PLAIN_SECONDS: Final = pa.decimal128(38, _PLAIN_SCALE)
# Noise of the sender's arithmetic, such as 4.4e-16 s, has more decimals than every reader of Parquet takes.
_FINE_SECONDS: Final = pa.decimal256(76, 50)
_BLOCK_BYTES: Final = 8 * 1024 * 1024
_MOMENT: Final = pa.timestamp("us", tz="UTC")
# What Arrow reads of CSV as something else, and casts.
_IN_CSV: Final = {_MOMENT: pa.int64(), _PLAIN_SECONDS: pa.string(), _FINE_SECONDS: pa.string()}
_LEADING: Final = {
    "id": pa.string(),
    "occurred_at": _MOMENT,
    "stored_at": _MOMENT,
    "tenant": pa.string(),
    "api_key_id": pa.string(),
    "project": pa.string(),
    "model": pa.string(),
    "mode": pa.string(),
    "mode_source": pa.string(),
    "status": pa.string(),
    "finish_reason": pa.string(),
    **{segment.value: pa.int64() for segment in Segment},
    "ttft_ms": pa.float64(),
    "ttfa_ms": pa.float64(),
    "duration_ms": pa.float64(),
}
_TRAILING: Final = {"task": pa.string(), "labels": pa.string(), "source": pa.string()}


@dataclass(frozen=True, slots=True)
class Totals:
    """What events add up to."""

    requests: int
    tokens: tuple[int, ...]
    """In the order of `Segment`."""
    engine_seconds: Decimal

    def __str__(self) -> str:
        return f"{self.requests} events, {sum(self.tokens)} tokens, {self.engine_seconds:f} engine seconds"


def write_archive(connection: psycopg.Connection[Any], table: str, path: Path) -> None:
    """Write the events of a table in the order of their ids. They are on disk when this returns."""
    scale = sql.SQL("SELECT coalesce(max(scale(engine_seconds)), 0) FROM {}").format(sql.Identifier(table))
    finest = connection.execute(scale).fetchone()
    seconds = _PLAIN_SECONDS if finest is not None and finest[0] <= _PLAIN_SCALE else _FINE_SECONDS
    types = {**_LEADING, "engine_seconds": seconds, **_TRAILING}
    schema = pa.schema(list(types.items()))
    with path.open("wb") as file:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer, _as_csv(connection, table, types) as csv:
            for batch in csv:
                columns = [column.cast(kind) for column, kind in zip(batch.columns, schema.types, strict=True)]
                writer.write_batch(pa.record_batch(columns, schema=schema))
        file.flush()
        os.fsync(file.fileno())


def archive_totals(path: Path) -> Totals:
    """What a file written by `write_archive` adds up to, read back from the disk."""
    requests, tokens = 0, dict.fromkeys(Segment, 0)
    seconds: list[Decimal] = []
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=[*Segment, "engine_seconds"]):
            requests += batch.num_rows
            for segment in Segment:
                tokens[segment] += pc.sum(batch.column(segment.value)).as_py() or 0
            # Wider: the sum of a batch has more digits than its values, and Arrow would not say so.
            wide = batch.column("engine_seconds").cast(_FINE_SECONDS)
            seconds.append(pc.sum(wide).as_py() or Decimal(0))
    return Totals(requests, tuple(tokens.values()), exact_sum(seconds))


@contextmanager
def _as_csv(
    connection: psycopg.Connection[Any], table: str, types: dict[str, pa.DataType]
) -> Iterator[pyarrow.csv.CSVStreamingReader]:
    # Postgres writes CSV and Arrow reads it, both in C: rows that pass through Python take ten times as long.
    microseconds, as_is = sql.SQL("(extract(epoch FROM {}) * 1000000)::bigint"), sql.SQL("{}")
    columns = [
        (microseconds if kind == _MOMENT else as_is).format(sql.Identifier(name)) for name, kind in types.items()
    ]
    statement = sql.SQL("COPY (SELECT {} FROM {} ORDER BY id) TO STDOUT (FORMAT csv)").format(
        sql.SQL(", ").join(columns), sql.Identifier(table)
    )
    with connection.cursor().copy(statement) as copy:
        yield pyarrow.csv.open_csv(
            io.BufferedReader(_CopyReader(copy), _BLOCK_BYTES),
            read_options=pyarrow.csv.ReadOptions(column_names=list(types), block_size=_BLOCK_BYTES),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={name: _IN_CSV.get(kind, kind) for name, kind in types.items()},
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )


class _CopyReader(io.RawIOBase):
    """The data of a COPY as a file to read."""

    def __init__(self, copy: psycopg.Copy) -> None:
        super().__init__()
        self._pieces = iter(copy)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
