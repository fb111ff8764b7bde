"""The columns of an export."""

from __future__ import annotations

from typing import Final

from kat.usage_event import Segment

COLUMNS: Final = (
    "id",
    "time",
    "tenant",
    "project",
    "api_key_id",
    "model",
    "mode",
    "mode_source",
    "source",
    "status",
    "finish_reason",
    "task",
    *(segment.value for segment in Segment),
    "cost",
    "currency",
    "unpriced_tokens",
)
"""In this order, also in CSV; new ones are added at the end."""
