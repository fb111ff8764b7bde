"""Discounts: percents off a tenant's prices, effective-dated. The most specific one holds; they do not add up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, model_validator

from kat.usage_event import Name, Segment
from kat_metering.money import plain
from kat_metering.prices import Source, WholeHour

NO_DISCOUNT: Final = Decimal(0)

Percent = Annotated[
    Decimal,
    Field(ge=0, le=100, max_digits=9, decimal_places=6, allow_inf_nan=False),
    PlainSerializer(plain, return_type=str, when_used="json"),
]


class Discount(BaseModel):
    """So many percent off a tenant's prices, from one hour (inclusive) to another (exclusive)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tenant: Name
    model: Name | None = None
    """None: every model."""
    segment: Segment | None = None
    """None: every segment."""
    percent: Percent
    effective_from: WholeHour
    effective_to: WholeHour | None = None
    """None: until further notice."""
    reason: Source
    """What was agreed, and where that is written down."""

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if self.effective_to is not None and self.effective_to <= self.effective_from:
            raise ValueError("effective_to must be later than effective_from")
        return self

    @property
    def scope(self) -> tuple[str, str | None, Segment | None]:
        """What it is for. Discounts of one scope must not overlap in time."""
        return self.tenant, self.model, self.segment

    def covers(self, moment: datetime) -> bool:
        return self.effective_from <= moment and (self.effective_to is None or moment < self.effective_to)


class DiscountBook:
    """The discounts of one tenant."""

    def __init__(self, discounts: Iterable[Discount]) -> None:
        self._by_scope: dict[tuple[str | None, Segment | None], list[Discount]] = defaultdict(list)
        for each in discounts:
            self._by_scope[each.model, each.segment].append(each)

    def percent(self, model: str, segment: Segment, moment: datetime) -> Decimal:
        """The percent off at a moment. Model and segment beat the model, that beats the segment, that the rest."""
        for scope in ((model, segment), (model, None), (None, segment), (None, None)):
            for each in self._by_scope.get(scope, ()):
                if each.covers(moment):
                    return each.percent
        return NO_DISCOUNT


@dataclass(frozen=True, slots=True)
class DiscountProblem:
    """Why the discount at `index` of those that were sent cannot be taken."""

    index: int
    field: str
    message: str


class DiscountsRefused(ValueError):
    """`problems` name each entry and field."""

    def __init__(self, problems: Sequence[DiscountProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"discounts[{each.index}].{each.field}: {each.message}" for each in problems))


@dataclass(frozen=True, slots=True)
class DiscountChange:
    """What new discounts come to. `ended` are open ones of before, with the end they get."""

    added: list[Discount]
    ended: list[Discount]
    unchanged: int


def discount_change(
    current: Sequence[Discount], incoming: Sequence[Discount], *, closed_until: datetime | None
) -> DiscountChange:
    """Add `incoming` to `current`, all of one tenant. An open one ends where a new one of its scope begins.

    `closed_until`: the end of the tenant's last closed month; no discount may change what was before. An identical
    one changes nothing. Raises DiscountsRefused.
    """
    added = [each for each in dict.fromkeys(incoming) if each not in current]
    ended, kept = [], []
    for each in current:
        starts = [
            new.effective_from
            for new in added
            if new.scope == each.scope and each.effective_to is None and new.effective_from > each.effective_from
        ]
        if starts:
            ended.append(each.model_copy(update={"effective_to": min(starts)}))
        else:
            kept.append(each)
    found = [
        DiscountProblem(
            incoming.index(each), "effective_from", f"is in a closed month: begin at {closed_until:%Y-%m-%d}"
        )
        for each in added
        if closed_until is not None and each.effective_from < closed_until
    ]
    found += [
        DiscountProblem(
            incoming.index(new), "effective_from", f"overlaps the one from {other.effective_from:%Y-%m-%dT%H}h"
        )
        for new, other in _overlaps([*kept, *ended], added)
    ]
    if found:
        raise DiscountsRefused(found)
    return DiscountChange(added, ended, len(incoming) - len(added))


def _overlaps(current: Sequence[Discount], added: Sequence[Discount]) -> Iterable[tuple[Discount, Discount]]:
    """Pairs of an added discount and another one that holds at the same time."""
    by_scope: dict[object, list[Discount]] = defaultdict(list)
    for each in (*current, *added):
        by_scope[each.scope].append(each)
    for series in by_scope.values():
        series.sort(key=lambda each: each.effective_from)
        for earlier, later in pairwise(series):
            if earlier.effective_to is None or earlier.effective_to > later.effective_from:
                yield (later, earlier) if later in added else (earlier, later)
