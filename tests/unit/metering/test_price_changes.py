"""Importing prices: what is added, what ends, what is refused."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from kat_metering.price_changes import price_change
from kat_metering.price_files import PriceFileError
from kat_metering.prices import Price

JANUARY, FEBRUARY, MARCH = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3))


def a_price(start: datetime, end: datetime | None = None, per_million: str = "1", currency: str = "USD") -> Price:
    return Price.model_validate(
        {
            "model": "M",
            "segment": "think",
            "per_million": Decimal(per_million),
            "currency": currency,
            "effective_from": start,
            "effective_to": end,
            "basis": "compute",
            "source": "a contract",
            "source_date": date(2026, 1, 1),
        }
    )


def test_an_open_price_ends_where_a_new_one_begins() -> None:
    change = price_change([a_price(JANUARY)], [a_price(MARCH, per_million="2")], now=JANUARY)
    assert change.ended == [a_price(JANUARY, MARCH)]
    assert change.added == [a_price(MARCH, per_million="2")]


def test_of_two_new_prices_the_first_ends_the_open_one() -> None:
    new = [a_price(MARCH, per_million="3"), a_price(FEBRUARY, MARCH, per_million="2")]
    assert price_change([a_price(JANUARY)], new, now=JANUARY).ended == [a_price(JANUARY, FEBRUARY)]


def test_importing_the_same_file_twice_changes_nothing() -> None:
    change = price_change([a_price(JANUARY, MARCH)], [a_price(JANUARY, MARCH)], now=JANUARY)
    assert (change.added, change.ended, change.unchanged) == ([], [], 1)


@pytest.mark.parametrize(
    "incoming",
    [
        pytest.param([a_price(FEBRUARY, MARCH)], id="inside a closed period"),
        pytest.param([a_price(JANUARY, per_million="2")], id="at the same start"),
        pytest.param([a_price(datetime(2025, 12, 1, tzinfo=UTC))], id="open, before one that is there"),
    ],
)
def test_a_price_that_overlaps_one_in_the_book_is_refused(incoming: list[Price]) -> None:
    with pytest.raises(PriceFileError) as refused:
        price_change([a_price(JANUARY, MARCH)], incoming, now=JANUARY)
    assert [(problem.index, problem.field) for problem in refused.value.problems] == [(0, "effective_from")]


def test_a_price_in_another_currency_than_the_book_is_refused() -> None:
    with pytest.raises(PriceFileError, match="EUR beside USD"):
        price_change([a_price(JANUARY, MARCH)], [a_price(MARCH, currency="EUR")], now=JANUARY)


def test_a_price_for_past_hours_is_taken_with_a_warning() -> None:
    change = price_change([], [a_price(JANUARY)], now=MARCH)
    assert any("past hours" in warning for warning in change.warnings)
