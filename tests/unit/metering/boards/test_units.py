"""Values with their units, as a person reads them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from kat_metering.boards.units import cell, written
from kat_metering.console.figures import NOTHING


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (0, "s", "0 s"),
        (0.0123, "s", "12.3 ms"),
        (1.5, "s", "1.5 s"),
        (90, "s", "1.5 min"),
        (7_200, "s", "2 h"),
        (200_000, "s", "2.31 d"),
        (0.333, "percentunit", "33.3 %"),
        (1.2345, "reqps", "1.23 req/s"),
        (3, "ops", "3/s"),
        (0.5, "wps", "0.5 writes/s"),
        (1_234, "short", "1,234"),
        (1_234_567, "short", "1.235M"),
        (0.000123456, "none", "0.0001235"),
        (1_234.5, "none", "1,234.50"),
        (1_795_609_800_000, "dateTimeAsIso", "2026-11-25 12:30 UTC"),
    ],
)
def test_a_value_is_written_with_its_unit(value: float, unit: str, words: str) -> None:
    assert written(value, unit) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, NOTHING),
        ("acme", "acme"),
        (Decimal("0.25"), "25 %"),
        (datetime(2026, 11, 25, 12, 30, tzinfo=UTC), "2026-11-25 12:30 UTC"),
    ],
)
def test_a_cell_of_a_table_shows_what_the_database_has(value: object, words: str) -> None:
    assert cell(value, "percentunit") == words
