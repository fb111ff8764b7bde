"""Parquet of export rows, made one row group at a time, so that memory does not grow with the file."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from decimal import Context, Decimal, Inexact
from itertools import islice
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from kat_metering.exports.columns import COLUMNS, Kind

MEDIA_TYPE: Final = "application/vnd.apache.parquet"

_ROWS_IN_A_GROUP: Final = 5_000

AMOUNT_TYPE: Final = pa.decimal128(38, 23)
"""128 bits, since few readers know larger ones; 15 places for a cost and 8 more for a discount. What does not fit is an
error, never rounded."""

# Python's own context would round to 28 digits.
_WIDE: Final = Context(prec=120, traps=[Inexact])

_TYPES: Final = {
    Kind.TEXT: pa.string(),
    Kind.COUNT: pa.int64(),
    Kind.AMOUNT: AMOUNT_TYPE,
    Kind.MOMENT: pa.timestamp("ms", tz="UTC"),
}


def parquet_pieces(
    rows: Iterable[Mapping[str, Any]],
    columns: Mapping[str, Kind] = COLUMNS,
    rows_in_a_group: int = _ROWS_IN_A_GROUP,
) -> Iterator[bytes]:
    """The bytes of a Parquet file, a row group at a time. Raises pyarrow.ArrowInvalid for an amount that does not fit."""
    schema = pa.schema([(name, _TYPES[kind]) for name, kind in columns.items()])
    sink = _Sink()
    remaining = iter(rows)
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        while batch := list(islice(remaining, rows_in_a_group)):
            arrays = [pa.array([_exact(row[field.name]) for row in batch], field.type) for field in schema]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema), row_group_size=rows_in_a_group)
            yield sink.taken()
    yield sink.taken()


def _exact(value: object) -> object:
    # pyarrow counts the places as written, so that zeros at the end could be more than it takes.
    return _WIDE.normalize(value) if isinstance(value, Decimal) else value


class _Sink(io.RawIOBase):
    """What the writer wrote since the last `taken()`."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:
        self._pieces.append(bytes(piece))
        self._position += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._position

    def taken(self) -> bytes:
        pieces, self._pieces = b"".join(self._pieces), []
        return pieces
