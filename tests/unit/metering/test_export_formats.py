"""Export formats: safe in a spreadsheet, exact in money."""

import csv
import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from kat_metering.exports.cells import safe_cell
from kat_metering.exports.columns import COLUMNS
from kat_metering.exports.csv import csv_lines
from kat_metering.exports.jsonl import json_lines
from kat_metering.exports.spool import pieces_of, spool

ROW: dict[str, Any] = dict.fromkeys(COLUMNS) | {
    "id": "1",
    "time": datetime(2026, 10, 1, 2, 3, 4, 5_000, tzinfo=UTC),
    "think": 7,
    "cost": Decimal("0.0000007"),
    "project": 'a "b", c\nd',
}
TEXT = ROW | {"time": "2026-10-01T02:03:04.005Z", "cost": "0.0000007"}


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1+1", "-x", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1", "\uff0b1", "\uff0d1", "\uff20x"]
)
def test_text_that_a_spreadsheet_would_run_gets_an_apostrophe_in_front(text: str) -> None:
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("value", ["plain", "", "a=b", "-1.5", "-12", 7, -7, None])
def test_other_values_stay_as_they_are(value: object) -> None:
    assert safe_cell(value) == value


def test_csv_has_a_header_and_a_line_for_each_row_in_the_documented_order() -> None:
    lines = list(csv.reader(io.StringIO(b"".join(csv_lines([ROW])).decode(), newline="")))
    assert lines[0] == list(COLUMNS)
    assert dict(zip(COLUMNS, lines[1], strict=True)) == {
        name: "" if value is None else str(value) for name, value in TEXT.items()
    }


def test_json_lines_keep_the_order_of_the_columns_and_money_as_text() -> None:
    [line] = b"".join(json_lines([ROW])).splitlines()
    assert list(json.loads(line)) == list(COLUMNS)
    assert json.loads(line) == TEXT


def test_a_spooled_export_comes_back_whole() -> None:
    file, size = spool([b"a" * 100_000, b"b"])
    with file:
        content = b"".join(pieces_of(file))
    assert (len(content), content[-1:]) == (size, b"b")


def test_an_export_that_fails_half_way_leaves_nothing_to_send() -> None:
    def failing() -> Any:
        yield b"half"
        raise OSError("the database went away")

    with pytest.raises(OSError, match="went away"):
        spool(failing())
