"""Cells of text formats: exact, and safe to open in a spreadsheet."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from kat_metering.money import plain

_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Spreadsheets take the full-width forms of =, +, - and @ for the same."""

_NUMBER: Final = re.compile(r"-[0-9]+(\.[0-9]+)?")


def as_text(value: object) -> object:
    """Amounts and moments as text, exactly; anything else as it is."""
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value


def safe_cell(value: object) -> object:
    """The value; text that a spreadsheet would run as a formula gets an apostrophe in front (OWASP, CSV injection).

    A negative number is no formula, also as text.
    """
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value
