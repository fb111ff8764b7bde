"""What tokens cost: effective-dated prices, and rating usage with them.

Rating is exact: no amount is rounded, so that the parts of any split sum to the whole. Usage that no price
covers is *unpriced* and reported as such; it never counts as free.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    model_validator,
)

from kat.usage_event import Mode, Name, Segment
from kat_metering.money import cost_of, exact_sum, plain


class PriceMode(StrEnum):
    """The mode a price is for. A price for one mode beats the price for `any`."""

    ANY = "any"
    ON = "on"
    OFF = "off"


class CostBasis(StrEnum):
    """What a price stands for. A saving compares only prices of one basis."""

    COMPUTE = "compute"
    """The cost of the GPU time behind a token."""
    LIST_PRICE = "list_price"
    """What a provider charges."""


def _whole_hour_utc(moment: datetime) -> datetime:
    try:
        moment = moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("is beyond the calendar in UTC") from error
    if moment.minute or moment.second or moment.microsecond:
        # Usage is rolled up by the hour: a price that changed within one could not be applied exactly.
        raise ValueError("must be a whole hour in UTC")
    return moment


WholeHour = Annotated[AwareDatetime, AfterValidator(_whole_hour_utc)]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
PerMillion = Annotated[
    Decimal,
    Field(ge=0, max_digits=18, decimal_places=9, allow_inf_nan=False),
    PlainSerializer(plain, return_type=str, when_used="json"),
]
Source = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2_000, pattern=r"^[^\x00]*$")]


class Price(BaseModel):
    """The price of one million tokens of a segment of a model, from one hour (inclusive) to another (exclusive)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Name
    segment: Segment
    mode: PriceMode = PriceMode.ANY
    per_million: PerMillion
    currency: Currency
    effective_from: WholeHour
    effective_to: WholeHour | None = None
    """None: until further notice."""
    basis: CostBasis
    source: Source
    """Where the number comes from, or how it follows from numbers that come from somewhere."""
    source_date: date

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if self.effective_to is not None and self.effective_to <= self.effective_from:
            raise ValueError("effective_to must be later than effective_from")
        return self

    def covers(self, moment: datetime) -> bool:
        return self.effective_from <= moment and (self.effective_to is None or moment < self.effective_to)


@dataclass(frozen=True, slots=True)
class UsageLine:
    """Tokens of a model in a mode that share an hour, or that share every price of an hour."""

    model: str
    mode: Mode
    hour: datetime
    tokens: Mapping[Segment, int]


@dataclass(frozen=True, slots=True)
class RatedLine:
    """Tokens of one segment with the price they were rated at; `price` is None where none covers them."""

    usage: UsageLine
    segment: Segment
    tokens: int
    price: Price | None
    cost: Decimal


@dataclass(frozen=True, slots=True)
class Rated:
    """Rated usage. `cost` is the exact sum of what could be priced; what could not is in `unpriced`."""

    cost: Decimal
    unpriced: Mapping[Segment, int]
    lines: tuple[RatedLine, ...]

    @property
    def unpriced_tokens(self) -> int:
        return sum(self.unpriced.values())

    @property
    def cost_or_none(self) -> Decimal | None:
        """The cost, or None where there was usage and not one token of it has a price."""
        nothing_priced = bool(self.lines) and all(line.price is None for line in self.lines)
        return None if nothing_priced else self.cost


class PriceBook:
    """Prices to rate with. They must not overlap (`price_checks.problems` tells); all are in one currency."""

    def __init__(self, prices: Iterable[Price]) -> None:
        by_key: dict[tuple[str, Segment, PriceMode], list[Price]] = defaultdict(list)
        currencies: set[str] = set()
        for price in prices:
            by_key[price.model, price.segment, price.mode].append(price)
            currencies.add(price.currency)
        if len(currencies) > 1:
            raise ValueError(f"a price book has one currency, not {', '.join(sorted(currencies))}")
        self.currency: str | None = next(iter(currencies), None)
        self._series = {key: sorted(series, key=lambda price: price.effective_from) for key, series in by_key.items()}
        self._starts = {key: [price.effective_from for price in series] for key, series in self._series.items()}
        moments = {price.effective_from for series in self._series.values() for price in series}
        moments |= {price.effective_to for series in self._series.values() for price in series if price.effective_to}
        self.boundaries: list[datetime] = sorted(moments)
        """The hours at which any price begins or ends, ascending: between two of them nothing changes."""
        self._found: dict[tuple[str, Mode, int], dict[Segment, Price | None]] = {}

    def find(self, model: str, segment: Segment, mode: Mode, moment: datetime) -> Price | None:
        """The price at a moment, or None where there is a gap. The mode's own price beats the one for any mode."""
        return self._at(model, mode, moment)[segment]

    def _at(self, model: str, mode: Mode, moment: datetime) -> dict[Segment, Price | None]:
        # An export rates event by event; between two boundaries it finds the same few prices over and over.
        key = (model, mode, bisect_right(self.boundaries, moment))
        found = self._found.get(key)
        if found is None:
            found = {segment: self._search(model, segment, mode, moment) for segment in Segment}
            self._found[key] = found
        return found

    def _search(self, model: str, segment: Segment, mode: Mode, moment: datetime) -> Price | None:
        wanted = [PriceMode.ANY] if mode is Mode.UNDECIDED else [PriceMode(mode.value), PriceMode.ANY]
        for price_mode in wanted:
            key = (model, segment, price_mode)
            index = bisect_right(self._starts.get(key, []), moment) - 1
            if index >= 0 and self._series[key][index].covers(moment):
                return self._series[key][index]
        return None

    def rate(self, usage: Iterable[UsageLine]) -> Rated:
        """Rate usage, exactly."""
        lines: list[RatedLine] = []
        unpriced: dict[Segment, int] = defaultdict(int)
        for line in usage:
            prices = self._at(line.model, line.mode, line.hour)
            for segment, tokens in line.tokens.items():
                if not tokens:
                    continue
                price = prices[segment]
                if price is None:
                    unpriced[segment] += tokens
                cost = Decimal(0) if price is None else cost_of(tokens, price.per_million)
                lines.append(RatedLine(line, segment, tokens, price, cost))
        return Rated(exact_sum(line.cost for line in lines), dict(unpriced), tuple(lines))
