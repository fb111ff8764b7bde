"""What is wrong with a list of prices: overlaps and mixed currencies are errors, gaps are warnings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from kat.usage_event import Segment
from kat_metering.prices import Price, PriceMode


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding about the entry at `index` of the list that was checked."""

    index: int
    field: str
    message: str
    severity: Literal["error", "warning"] = "error"


def problems(prices: Sequence[Price]) -> list[Problem]:
    """Everything that is wrong between entries; what is wrong within one, `Price` refuses by itself."""
    return sorted(
        [*_mixed_currency(prices), *_overlaps(prices), *_gaps(prices), *_missing_segments(prices)],
        key=lambda problem: (problem.severity, problem.index, problem.field),
    )


def _named(price: Price) -> str:
    return f"{price.model} / {price.segment} / {price.mode}"


def _mixed_currency(prices: Sequence[Price]) -> list[Problem]:
    return [
        Problem(index, "currency", f"{price.currency} beside {prices[0].currency}: a price book has one currency")
        for index, price in enumerate(prices)
        if price.currency != prices[0].currency
    ]


def _series(prices: Sequence[Price]) -> dict[tuple[str, Segment, PriceMode], list[tuple[int, Price]]]:
    series: dict[tuple[str, Segment, PriceMode], list[tuple[int, Price]]] = defaultdict(list)
    for index, price in enumerate(prices):
        series[price.model, price.segment, price.mode].append((index, price))
    for entries in series.values():
        entries.sort(key=lambda entry: entry[1].effective_from)
    return series


def _overlaps(prices: Sequence[Price]) -> list[Problem]:
    return [
        Problem(
            index,
            "effective_from",
            f"{_named(later)} overlaps the price in force from {earlier.effective_from:%Y-%m-%dT%H:%MZ}",
        )
        for entries in _series(prices).values()
        for (_, earlier), (index, later) in pairwise(entries)
        if earlier.effective_to is None or earlier.effective_to > later.effective_from
    ]


def _gaps(prices: Sequence[Price]) -> list[Problem]:
    series = _series(prices)
    found: list[Problem] = []
    for (model, segment, mode), entries in series.items():
        # While the price for any mode holds, a hole in one mode's own prices leaves nothing unpriced.
        fallback = (
            [] if mode is PriceMode.ANY else [price for _, price in series.get((model, segment, PriceMode.ANY), [])]
        )
        for (_, earlier), (index, later) in pairwise(entries):
            hole = earlier.effective_to is not None and earlier.effective_to < later.effective_from
            if hole and earlier.effective_to and not any(price.covers(earlier.effective_to) for price in fallback):
                message = f"{_named(later)} has no price from {earlier.effective_to:%Y-%m-%dT%H:%MZ} until this one"
                found.append(Problem(index, "effective_from", message, "warning"))
    return found


def _missing_segments(prices: Sequence[Price]) -> list[Problem]:
    first_index: dict[str, int] = {}
    priced: dict[str, set[Segment]] = defaultdict(set)
    for index, price in enumerate(prices):
        first_index.setdefault(price.model, index)
        priced[price.model].add(price.segment)
    return [
        Problem(first_index[model], "segment", f"{model} has no price for {', '.join(missing)}: unpriced", "warning")
        for model, segments in priced.items()
        if (missing := [segment.value for segment in Segment if segment not in segments])
    ]
