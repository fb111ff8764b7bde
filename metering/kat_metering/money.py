"""Exact money: decimals that refuse to round, and the one place where fractions become decimals for display."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import (
    ROUND_HALF_EVEN,
    ROUND_HALF_UP,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
)
from fractions import Fraction
from functools import reduce
from typing import Annotated, Final

from pydantic import PlainSerializer

MONEY_PLACES: Final = 15
"""Decimal places of money in reports: a price has at most 9, and a price per million tokens adds 6."""

_PRECISION = 120  # tokens have 19 digits, prices 18; the rest is room for sums
# Threads may share it: what is trapped is judged operation by operation, and its flags are never read.
_EXACT: Final = Context(prec=_PRECISION, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow])
_MILLIONTH: Final = Decimal(-6)
_HUNDRED: Final = Decimal(100)

# ISO 4217, list one: the currencies whose minor unit is not a hundredth.
_MINOR_UNIT_PLACES: Final = {
    **dict.fromkeys(
        [
            "BIF",
            "CLP",
            "DJF",
            "GNF",
            "ISK",
            "JPY",
            "KMF",
            "KRW",
            "PYG",
            "RWF",
            "UGX",
            "UYI",
            "VND",
            "VUV",
            "XAF",
            "XOF",
            "XPF",
        ],
        0,
    ),
    **dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3),
    **dict.fromkeys(["CLF", "UYW"], 4),
}


def cost_of(tokens: int, per_million: Decimal) -> Decimal:
    """What tokens cost at a price per million, exactly. Raises decimal.Inexact rather than round."""
    return _EXACT.scaleb(_EXACT.multiply(Decimal(tokens), per_million), _MILLIONTH)


def exact_sum(amounts: Iterable[Decimal]) -> Decimal:
    """The sum, exactly. Raises decimal.Inexact rather than round."""
    return reduce(_EXACT.add, amounts, Decimal(0))


def less_percent(amount: Decimal, percent: Decimal) -> Decimal:
    """The amount less so many percent of it, exactly. Raises decimal.Inexact rather than round."""
    rest = _EXACT.subtract(_HUNDRED, percent)
    return _EXACT.scaleb(_EXACT.multiply(amount, rest), Decimal(-2))


def difference(amount: Decimal, subtracted: Decimal) -> Decimal:
    """`amount` - `subtracted`, exactly. Raises decimal.Inexact rather than round."""
    return _EXACT.subtract(amount, subtracted)


def payable(amount: Decimal, currency: str) -> Decimal:
    """The amount in whole minor units of the currency (ISO 4217), halves away from zero.

    The one place where money is rounded; statements show the difference as a line of its own.
    """
    places = _MINOR_UNIT_PLACES.get(currency, 2)
    context = Context(prec=_PRECISION, rounding=ROUND_HALF_UP)
    return amount.quantize(Decimal(1).scaleb(-places), context=context)


def to_decimal(value: Fraction, places: int = MONEY_PLACES) -> Decimal:
    """A fraction as a decimal of at most `places` places, rounded half to even."""
    context = Context(prec=_PRECISION, rounding=ROUND_HALF_EVEN)
    quotient = context.divide(Decimal(value.numerator), Decimal(value.denominator))
    return quotient.quantize(Decimal(1).scaleb(-places), context=context)


def plain(amount: Decimal) -> str:
    """A decimal without exponent and without trailing zeros, as reports and exports print it."""
    text = format(amount, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


Money = Annotated[Decimal, PlainSerializer(plain, return_type=str)]
"""An amount in a report: a string on the wire, since JSON's numbers are floats to most readers."""
