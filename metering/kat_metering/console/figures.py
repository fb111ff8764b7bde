"""How the console writes numbers: grouped, with their units, and money with as many places as its size needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

Writer = Callable[[float], str]
"""A value of a chart in words."""

NOTHING: Final = "\u2013"
"""A dash."""
_STEPS: Final = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k"))
_EXACT_BELOW: Final = 10_000


def count(value: int) -> str:
    """Every digit, in groups of three."""
    return f"{value:,}"


def short_count(value: int) -> str:
    """Three or four digits and a unit, such as 12.3k; small numbers in full."""
    if abs(value) < _EXACT_BELOW:
        return count(value)
    for size, unit in _STEPS:
        if abs(value) >= size:
            return f"{value / size:.4g}{unit}"
    return count(value)


def share(part: int | Decimal, whole: int | Decimal) -> str:
    """A share in percent; a dash of nothing."""
    return percent(float(part / whole)) if whole else NOTHING


def percent(value: float | None) -> str:
    """A fraction in percent, to a tenth."""
    return NOTHING if value is None else f"{value * 100:.1f} %"


def places_for(amounts: Iterable[Decimal | None]) -> int:
    """How many places show the largest of some amounts well; one number for all, so that points stand in a column."""
    largest = max((abs(amount) for amount in amounts if amount is not None), default=Decimal(0))
    if largest >= 100 or not largest:  # noqa: PLR2004 - from hundreds on, cents are enough
        return 2
    if largest >= 1:
        return 4
    # Three digits of it, however small.
    return min(2 - largest.adjusted(), 12)


def money(amount: Decimal | None, places: int | None = None) -> str:
    """An amount for the eye, rounded to `places` (by default by its own size); a dash where there is none."""
    if amount is None:
        return NOTHING
    digits = places_for([amount]) if places is None else places
    rounded = amount.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_EVEN)
    # Nothing is not negative.
    return f"{rounded or abs(rounded):,.{digits}f}"


def moment(value: datetime | None) -> str:
    """A time in UTC, to the minute."""
    return NOTHING if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def axis_count(value: float) -> str:
    """A count on an axis: short, as soon as it has thousands."""
    whole = int(value)
    return f"{whole / 1000:g}k" if 1000 <= abs(whole) < _EXACT_BELOW else short_count(whole)  # noqa: PLR2004 - a thousand


def axis_money(value: float) -> str:
    """An amount on an axis: as many digits as tell it from its neighbours."""
    return f"{value:.3g}"
