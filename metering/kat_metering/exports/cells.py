"""Cells of CSV, safe to open in a spreadsheet."""

from __future__ import annotations

import re
from typing import Final

_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Spreadsheets take the full-width forms of =, +, - and @ for the same."""

_NUMBER: Final = re.compile(r"-[0-9]+(\.[0-9]+)?")


def safe_cell(value: object) -> object:
    """The value; text that a spreadsheet would run as a formula gets an apostrophe in front (OWASP, CSV injection).

    A negative number is no formula, also as text.
    """
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value
