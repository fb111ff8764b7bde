"""JSON Lines of export rows: one object a line, keys in the order of the columns, amounts as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import orjson

from kat_metering.exports.cells import as_text
from kat_metering.exports.columns import COLUMNS

MEDIA_TYPE: Final = "application/jsonl"


def json_lines(rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    for row in rows:
        yield orjson.dumps({column: as_text(row[column]) for column in COLUMNS}, option=orjson.OPT_APPEND_NEWLINE)
