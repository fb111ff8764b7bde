"""The formats of an export."""

from __future__ import annotations

from enum import StrEnum


class ExportFormat(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"
    FOCUS_CSV = "focus-csv"
    FOCUS_PARQUET = "focus-parquet"

    @property
    def is_focus(self) -> bool:
        """Charges by hour and SKU in the columns of FOCUS 1.2, instead of a row for each request."""
        return self in {ExportFormat.FOCUS_CSV, ExportFormat.FOCUS_PARQUET}

    @property
    def suffix(self) -> str:
        """What the name of a file in this format ends in."""
        return self.value.replace("focus-", "focus.")
