"""What importing prices changes: new prices are added, open ones that they follow end where they begin."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from kat_metering.price_checks import Problem, problems
from kat_metering.price_files import PriceFileError
from kat_metering.prices import Price


@dataclass(frozen=True, slots=True)
class PriceChange:
    """What an import comes to. `ended` are prices of before, with the end they get."""

    added: list[Price]
    ended: list[Price]
    unchanged: int
    warnings: list[str]


def price_change(current: Sequence[Price], incoming: Sequence[Price], *, now: datetime) -> PriceChange:
    """Add `incoming` to `current`. Raises PriceFileError, its indexes those of `incoming`, where they do not go together.

    An identical price changes nothing, so that a file can be imported twice.
    """
    added = [price for price in incoming if price not in current]
    ended: list[Price] = []
    kept: list[Price] = []
    for price in current:
        end = None if price.effective_to is not None or price in incoming else _first_after(price, added)
        if end is None:
            kept.append(price)
        else:
            ended.append(price.model_copy(update={"effective_to": end}))
    # New ones come last, so that a finding between old and new is one about the new.
    together = [*kept, *ended, *added]
    places = [None] * (len(kept) + len(ended)) + [incoming.index(price) for price in added]
    found = problems(together)
    errors = [_placed(problem, together, places, incoming) for problem in found if problem.severity == "error"]
    if errors:
        raise PriceFileError(errors)
    warnings = [problem.message for problem in found if problem.severity == "warning"]
    if any(price.effective_from < now for price in added):
        warnings.append("Prices for past hours change reports of those hours that may have been read already.")
    return PriceChange(added, ended, len(incoming) - len(added), warnings)


def _first_after(price: Price, added: Iterable[Price]) -> datetime | None:
    starts = [
        each.effective_from
        for each in added
        if (each.model, each.segment, each.mode) == (price.model, price.segment, price.mode)
        and each.effective_from > price.effective_from
    ]
    return min(starts, default=None)


def _placed(
    problem: Problem, together: Sequence[Price], places: Sequence[int | None], incoming: Sequence[Price]
) -> Problem:
    """The problem at its index in `incoming`: an overlap is found at the later price, which may be an old one."""
    place = places[problem.index]
    if place is None:
        later = together[problem.index]
        place = next(
            (
                index
                for index, each in enumerate(incoming)
                if (each.model, each.segment, each.mode) == (later.model, later.segment, later.mode)
            ),
            0,
        )
    return Problem(place, problem.field, problem.message, problem.severity)
