"""The price book as each change left it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import Connection, func, insert, select

from kat_metering.price_files import dump_prices, parse_prices, read_document
from kat_metering.prices import Price
from kat_metering.store.statement_tables import price_version

Kind = Literal["found", "import", "rerate"]


def record_version(
    connection: Connection, *, before: Sequence[Price], after: Sequence[Price], kind: Kind, now: datetime
) -> int:
    """Keep the book as a change leaves it, and at the first change also as it was found. Returns the version's number.

    The caller holds `lock_prices`.
    """
    last = connection.scalar(select(func.max(price_version.c.number))) or 0
    made_at = now.astimezone(UTC)
    rows = [{"kind": kind, "book": dump_prices(after)}]
    if last == 0 and before:
        rows.insert(0, {"kind": "found", "book": dump_prices(before)})
    connection.execute(
        insert(price_version),
        [{"number": last + place, "made_at": made_at, **row} for place, row in enumerate(rows, 1)],
    )
    return last + len(rows)


def load_version(connection: Connection, number: int) -> list[Price] | None:
    """The prices of a version, or None where there is none of that number."""
    book = connection.scalar(select(price_version.c.book).where(price_version.c.number == number))
    if book is None:
        return None
    document = read_document(book, is_json=False)
    # A book may have become empty; a file to import may not be.
    return [] if document == {"prices": []} else parse_prices(document)
