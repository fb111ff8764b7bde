"""Values as Grafana's units write them, the units that the dashboards use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from kat_metering.console.figures import NOTHING, short_count

_DURATIONS: Final = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_WHOLE: Final = 100
_EXACT_BELOW: Final = 10_000


def _plain(value: float) -> str:
    """Three digits and more where a number is large; no more than it has."""
    if abs(value) >= _EXACT_BELOW:
        return short_count(round(value))
    return f"{value:,.0f}" if abs(value) >= _WHOLE or value == round(value) else f"{value:.3g}"


def _duration(value: float) -> str:
    for size, unit in _DURATIONS:
        if abs(value) >= size:
            return f"{value / size:.3g} {unit}"
    return "0 s" if value == 0 else f"{value / 1e-9:.3g} ns"


def _moment(milliseconds: float) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def _amount(value: float) -> str:
    """Neither a count nor a time: factors and money. As many digits as tell it from its neighbours."""
    return f"{value:,.2f}" if abs(value) >= _WHOLE else f"{value:.4g}"


WRITERS: Final[Mapping[str, Callable[[float], str]]] = {
    "short": _plain,
    "none": _amount,
    "s": _duration,
    "percentunit": lambda value: f"{value * 100:.3g} %",
    "reqps": lambda value: f"{_plain(value)} req/s",
    "ops": lambda value: f"{_plain(value)}/s",
    "dateTimeAsIso": _moment,
    "wps": lambda value: f"{_plain(value)} writes/s",
}
"""By the name that Grafana has for a unit."""


def written(value: float, unit: str) -> str:
    """A value with its unit. A unit that is not known to this version is left out."""
    return WRITERS.get(unit, _amount)(value)


def cell(value: object, unit: str) -> str:
    """What a table shows of a database's value."""
    if value is None:
        return NOTHING
    if isinstance(value, int | float | Decimal):
        return written(float(value), unit)
    if isinstance(value, datetime):
        return _moment(value.timestamp() * 1000)
    return str(value)
