"""Parquet: typed, exact, and made one row group at a time."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kat_metering.exports.columns import COLUMNS, Kind
from kat_metering.exports.parquet import parquet_pieces

AMOUNTS = {"amount": Kind.AMOUNT}
ROW: dict[str, Any] = dict.fromkeys(COLUMNS) | {
    "id": "1",
    "time": datetime(2026, 10, 1, 2, 3, 4, 5_000, tzinfo=UTC),
    "think": 7,
    "cost": Decimal("0.0000007"),
}


def read(content: bytes) -> pq.ParquetFile:
    return pq.ParquetFile(io.BytesIO(content))


def test_a_row_comes_back_as_it_was() -> None:
    [row] = read(b"".join(parquet_pieces([ROW]))).read().to_pylist()
    assert row == ROW


def test_columns_have_types_in_the_documented_order() -> None:
    schema = read(b"".join(parquet_pieces([]))).schema_arrow
    assert schema.names == list(COLUMNS)
    assert [str(schema.field(name).type) for name in ("id", "time", "think", "cost")] == [
        "string", "timestamp[ms, tz=UTC]", "int64", "decimal128(38, 23)"]  # fmt: skip


@given(st.lists(st.decimals(-(10**14), 10**14, places=23) | st.sampled_from([Decimal("1E+3"), Decimal("1.50")])))
def test_amounts_keep_every_digit(amounts: list[Decimal]) -> None:
    content = b"".join(parquet_pieces([{"amount": amount} for amount in amounts], AMOUNTS))
    assert [row["amount"] for row in read(content).read().to_pylist()] == amounts


@pytest.mark.parametrize("amount", [Decimal("1e-24"), Decimal("1e16")])
def test_an_amount_that_does_not_fit_is_an_error(amount: Decimal) -> None:
    with pytest.raises(pa.ArrowInvalid):
        list(parquet_pieces([{"amount": amount}], AMOUNTS))


def test_rows_are_taken_a_group_at_a_time() -> None:
    taken = []

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(25):
            taken.append(number)
            yield ROW

    pieces = parquet_pieces(rows(), rows_in_a_group=10)
    first = next(pieces)
    assert (len(taken), first[:4]) == (10, b"PAR1")
    assert read(first + b"".join(pieces)).num_row_groups == 3
