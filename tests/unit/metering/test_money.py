from decimal import Decimal, Inexact
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kat_metering.money import cost_of, exact_sum, less_percent, payable, plain, to_decimal

PRICES = st.decimals(min_value=0, max_value=999_999_999, places=9)
TOKENS = st.integers(0, 2**63 - 1)


@given(TOKENS, PRICES)
def test_cost_is_exact_for_any_token_count_and_any_price(tokens: int, price: Decimal) -> None:
    assert Fraction(cost_of(tokens, price)) == tokens * Fraction(price) / 1_000_000


def test_a_sum_that_would_have_to_be_rounded_is_an_error_instead() -> None:
    with pytest.raises(Inexact):
        exact_sum([Decimal("1e100"), Decimal("1e-100")])


@given(st.lists(st.decimals(min_value=-(10**12), max_value=10**12, places=15), max_size=50))
def test_a_sum_is_exact_in_any_order(amounts: list[Decimal]) -> None:
    assert Fraction(exact_sum(amounts)) == sum(map(Fraction, amounts)) == Fraction(exact_sum(reversed(amounts)))


def test_a_fraction_is_rounded_half_to_even_at_the_last_place() -> None:
    assert [to_decimal(Fraction(n, 8), 2) for n in (1, 3, -1)] == [Decimal("0.12"), Decimal("0.38"), Decimal("-0.12")]


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0.10", "0.1"), ("1E+3", "1000"), ("1E-7", "0.0000001"), ("0E-9", "0"), ("-0.0", "0"), ("100", "100")],
)
def test_money_is_printed_without_exponent_and_without_trailing_zeros(amount: str, text: str) -> None:
    assert plain(Decimal(amount)) == text


@given(PRICES, st.decimals(min_value=0, max_value=100, places=6))
def test_a_percentage_is_taken_off_exactly(amount: Decimal, percent: Decimal) -> None:
    assert Fraction(less_percent(amount, percent)) == Fraction(amount) * (100 - Fraction(percent)) / 100


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        ("0.005", "USD", "0.01"),
        ("-0.005", "USD", "-0.01"),
        ("0.004999", "EUR", "0.00"),
        ("1234567890123456789012345678.555", "CNY", "1234567890123456789012345678.56"),
        ("0.5", "JPY", "1"),
        ("0.0005", "KWD", "0.001"),
    ],
)
def test_what_is_payable_is_in_whole_minor_units_halves_away_from_zero(amount: str, currency: str, text: str) -> None:
    assert str(payable(Decimal(amount), currency)) == text
