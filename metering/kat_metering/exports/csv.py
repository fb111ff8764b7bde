"""CSV (RFC 4180, UTF-8, one header line) of export rows, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Final

from kat_metering.exports.cells import as_text, safe_cell
from kat_metering.exports.columns import COLUMNS

MEDIA_TYPE: Final = "text/csv; charset=utf-8"


def csv_lines(
    rows: Iterable[dict[str, Any]],
    columns: Collection[str] = COLUMNS,
    text: Callable[[object], object] = as_text,
) -> Iterator[bytes]:
    """The header, then a line for each row. None is an empty cell; `text` says how amounts and moments are written."""
    line = io.StringIO(newline="")
    writer = csv.writer(line)

    def written(cells: Iterable[object]) -> bytes:
        line.seek(0)
        line.truncate()
        writer.writerow(cells)
        return line.getvalue().encode()

    yield written(columns)
    for row in rows:
        yield written(safe_cell(text(row[column])) for column in columns)
