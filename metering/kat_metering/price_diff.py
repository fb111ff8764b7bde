"""What two price books differ in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from kat.usage_event import Mode
from kat_metering.periods import Window
from kat_metering.price_checks import Problem
from kat_metering.prices import Price, PriceBook


class PriceDifference(BaseModel):
    """One price that is in one book only, or in both with other terms. Prices are the same by the hour they begin."""

    model_config = ConfigDict(frozen=True)

    change: Literal["added", "removed", "changed"]
    before: Price | None
    after: Price | None


def differences(before: Sequence[Price], after: Sequence[Price]) -> list[PriceDifference]:
    """By model, segment, mode and beginning. Nothing for equal books, in whatever order they are."""
    old, new = ({_key(price): price for price in book} for book in (before, after))
    return [
        PriceDifference(
            change="added" if key not in old else "removed" if key not in new else "changed",
            before=old.get(key),
            after=new.get(key),
        )
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]


def changes_of_closed_months(
    before: Sequence[Price], after: Sequence[Price], incoming: Sequence[Price], closed: Sequence[Window]
) -> list[Problem]:
    """Prices that were in force in a closed month and would not be the same any more. To add a missing one is fine.

    Each is found at the entry of `incoming` that causes it.
    """
    old, new = PriceBook(before), PriceBook(after)
    moments = sorted({*old.boundaries, *new.boundaries})
    found: dict[tuple[int, str], Problem] = {}
    for index, price in enumerate(incoming):
        for month in closed:
            for moment in (month.start, *(each for each in moments if month.start < each < month.end)):
                for mode in Mode:
                    was = old.find(price.model, price.segment, mode, moment)
                    becomes = new.find(price.model, price.segment, mode, moment)
                    if was is not None and (becomes is None or becomes.per_million != was.per_million):
                        message = f"would change a price in {month.start:%Y-%m}, of which statements are closed"
                        found[index, message] = Problem(index, "effective_from", message)
    return list(found.values())


def _key(price: Price) -> tuple[str, str, str, str]:
    return price.model, price.segment.value, price.mode.value, price.effective_from.isoformat()
