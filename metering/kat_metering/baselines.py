"""What savings are measured against: a baseline model, its prices, and how many tokens it needs for the same work."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from kat.usage_event import LabelValue, Name, Segment
from kat_metering.prices import CostBasis, Currency, PerMillion, Price, PriceBook, Source, WholeHour

Parameters = Annotated[int, Field(gt=0, le=10**15)]


class RatioLabel(StrEnum):
    """How a token ratio is known. What was only read somewhere is never `measured`."""

    CITED = "cited"
    MEASURED = "measured"


class BaselinePrice(BaseModel):
    """The baseline's price of a million tokens of a segment, in force until the segment's next one begins."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    segment: Segment
    per_million: PerMillion
    currency: Currency
    effective_from: WholeHour
    basis: CostBasis
    source: Source
    source_date: date


class TokenRatio(BaseModel):
    """Average completion tokens of both models on one class of tasks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: Annotated[LabelValue, Field(min_length=1)]
    ours: Annotated[int, Field(gt=0)]
    theirs: Annotated[int, Field(gt=0)]
    label: RatioLabel
    source: Source
    source_date: date

    @property
    def ratio(self) -> Fraction:
        """Tokens of the baseline for each of ours."""
        return Fraction(self.theirs, self.ours)


class Baseline(BaseModel):
    """A model that would have done the work instead. Architecture and active parameters decide what a token costs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    architecture: Annotated[str, Field(min_length=1)]
    total_parameters: Parameters
    active_parameters: Parameters
    """Parameters that take part in one token: all of a dense model, some of a mixture of experts."""
    hypothetical: bool = False
    """No such model was compared with ours: a thought experiment, and shown as one."""
    description: Source
    source: Source
    source_date: date
    prices: tuple[BaselinePrice, ...]
    token_ratios: tuple[TokenRatio, ...] = ()
    token_ratio_assumption: Source | None = None
    """Set where the ratios were taken from another model: reports print it."""

    def price_book(self) -> PriceBook:
        """The baseline's prices, to rate usage whose model is the baseline's name."""
        series: dict[Segment, list[BaselinePrice]] = {}
        for price in sorted(self.prices, key=lambda price: price.effective_from):
            series.setdefault(price.segment, []).append(price)
        return PriceBook(
            Price(
                model=self.name,
                segment=segment,
                per_million=price.per_million,
                currency=price.currency,
                effective_from=price.effective_from,
                effective_to=following.effective_from if following else None,
                basis=price.basis,
                source=price.source,
                source_date=price.source_date,
            )
            for segment, prices in series.items()
            for price, following in pairwise([*prices, None])
            if price is not None
        )

    def ratio_for(self, task: str) -> TokenRatio | None:
        return next((ratio for ratio in self.token_ratios if ratio.task == task), None)
