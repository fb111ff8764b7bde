"""Re-rating: prices that take the place of those in force, for hours that may have passed already.

Importing only adds prices; it never touches an hour that has one. A mistake in the book is mended by re-rating: within
its hours a new price takes the place of whatever the book had, and outside of them nothing changes. A new price without
an end takes the place of everything after its beginning.
"""

from __future__ import annotations

from collections.abc import Sequence

from kat_metering.price_checks import Problem, problems
from kat_metering.price_files import PriceFileError
from kat_metering.prices import Price


def rerated(current: Sequence[Price], incoming: Sequence[Price]) -> list[Price]:
    """The book with `incoming` in force. Raises PriceFileError where `incoming` contradicts itself or the book's currency."""
    found = [problem for problem in problems(incoming) if problem.severity == "error"]
    if not found and current:
        found = [
            Problem(index, "currency", f"{price.currency} beside {current[0].currency}: a price book has one currency")
            for index, price in enumerate(incoming)
            if price.currency != current[0].currency
        ]
    if found:
        raise PriceFileError(found)
    left = list(current)
    for price in incoming:
        left = [piece for each in left for piece in _outside(each, price)]
    return [*left, *incoming]


def _outside(price: Price, taking: Price) -> list[Price]:
    """What is left of a price beside the hours of the one that takes its place."""
    if (price.model, price.segment, price.mode) != (taking.model, taking.segment, taking.mode):
        return [price]
    pieces: list[Price] = []
    if price.effective_from < taking.effective_from:
        until = taking.effective_from
        if price.effective_to is not None:
            until = min(until, price.effective_to)
        pieces.append(price.model_copy(update={"effective_to": until}))
    if taking.effective_to is not None and (price.effective_to is None or price.effective_to > taking.effective_to):
        begins = max(price.effective_from, taking.effective_to)
        pieces.append(price.model_copy(update={"effective_from": begins}))
    return pieces
