"""The columns of an export of usage events."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from kat.usage_event import Segment


class Kind(StrEnum):
    """What a column holds: text is text in every format, the others have a type of their own in Parquet."""

    TEXT = "text"
    COUNT = "count"
    AMOUNT = "amount"
    """Money, prices and quantities: exact decimals."""
    MOMENT = "moment"
    """A time in UTC, to the millisecond."""


COLUMNS: Final[dict[str, Kind]] = {
    "id": Kind.TEXT,
    "time": Kind.MOMENT,
    "tenant": Kind.TEXT,
    "project": Kind.TEXT,
    "api_key_id": Kind.TEXT,
    "model": Kind.TEXT,
    "mode": Kind.TEXT,
    "mode_source": Kind.TEXT,
    "source": Kind.TEXT,
    "status": Kind.TEXT,
    "finish_reason": Kind.TEXT,
    "task": Kind.TEXT,
    **{segment.value: Kind.COUNT for segment in Segment},
    "cost": Kind.AMOUNT,
    "currency": Kind.TEXT,
    "unpriced_tokens": Kind.COUNT,
}
"""In this order, also in CSV; new ones are added at the end."""
