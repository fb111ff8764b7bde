"""Numbers as people read them."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from kat_metering.console import figures

DASH = figures.NOTHING


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (9_999, "9,999"), (12_345, "12.35k"), (276_000, "276k"), (1_500_000, "1.5M"), (7 * 10**12, "7T")],
)
def test_large_counts_are_shortened(value: int, text: str) -> None:
    """Four digits and a unit say enough of a large number."""
    assert figures.short_count(value) == text


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (400, "400"), (4_000, "4k"), (24_000, "24k"), (4_500, "4.5k")])
def test_an_axis_counts_in_one_unit(value: float, text: str) -> None:
    """8k below 12k, not 8,000."""
    assert figures.axis_count(value) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, DASH),
        (Decimal(0), "0.00"),
        (Decimal("1234567.891"), "1,234,567.89"),
        (Decimal("12.34567"), "12.3457"),
        (Decimal("0.0236543"), "0.0237"),
        (Decimal("-0.000004216"), "-0.00000422"),
    ],
)
def test_money_has_as_many_places_as_its_size_needs(amount: Decimal | None, text: str) -> None:
    """Cents of hundreds, three digits of a fraction of a cent."""
    assert figures.money(amount) == text


def test_a_column_of_money_has_one_number_of_places() -> None:
    """The largest decides, so that points stand below each other."""
    amounts = [Decimal("0.02"), None, Decimal("0.000001")]
    assert [figures.money(each, figures.places_for(amounts)) for each in amounts] == ["0.0200", DASH, "0.0000"]


def test_nothing_is_not_negative() -> None:
    """What rounds to zero has no sign."""
    assert figures.money(Decimal("-0.0001"), 2) == "0.00"


@pytest.mark.parametrize(("part", "whole", "text"), [(1, 3, "33.3 %"), (0, 5, "0.0 %"), (0, 0, DASH)])
def test_a_share_of_nothing_is_a_dash(part: int, whole: int, text: str) -> None:
    """No requests have no think-on share, not one of 0."""
    assert figures.share(part, whole) == text


def test_times_are_in_utc() -> None:
    """Whatever offset they come with."""
    china = timezone(timedelta(hours=8))
    assert figures.moment(datetime(2026, 11, 24, 6, 5, tzinfo=china)) == "2026-11-23 22:05 UTC"
    assert figures.moment(datetime(2026, 11, 24, tzinfo=UTC)) == "2026-11-24 00:00 UTC"
    assert figures.moment(None) == DASH
