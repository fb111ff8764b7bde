"""One line of usage against the baseline: what it cost, what the baseline would have cost, or why that cannot be said."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Self

from kat.usage_event import Segment, Status
from kat_metering.baselines import Baseline
from kat_metering.methods import LeftOut, Method, NoClaim, NoRatio
from kat_metering.money import exact_sum
from kat_metering.prices import Price, PriceBook, Rated, RatedLine, UsageLine
from kat_metering.savings_report import TokenBasis
from kat_metering.token_ratios import RatioBook, RatioEstimate, Stratum

PROMPT_SEGMENTS = frozenset({Segment.PROMPT, Segment.PROMPT_CACHED})


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests of one stratum and status, with their usage."""

    count: int
    stratum: Stratum
    status: Status
    usage: UsageLine

    @property
    def completion_tokens(self) -> int:
        return sum(tokens for segment, tokens in self.usage.tokens.items() if segment not in PROMPT_SEGMENTS)


@dataclass(frozen=True, slots=True)
class Compared:
    """Requests with their cost on both sides, exactly."""

    requests: Requests
    actual: Decimal
    baseline_prompt: Decimal
    baseline_completion: Decimal
    """Of as many completion tokens as ours; times `ratio` it is the baseline's cost."""
    prompt_ratio: Fraction
    """1; less where worse answers must not save by the baseline's dearer prompt."""
    baseline_lines: tuple[RatedLine, ...]
    """Our tokens at the baseline's prices, segment by segment: what the two amounts above are the sums of."""
    estimate: RatioEstimate | None
    no_claim: NoClaim | None
    lines: tuple[RatedLine, ...]
    """Ours, segment by segment."""

    @property
    def prices(self) -> tuple[Price, ...]:
        """Of ours."""
        return tuple(line.price for line in self.lines if line.price is not None)

    @property
    def token_basis(self) -> TokenBasis:
        return TokenBasis.EQUAL_TOKENS if self.estimate is None else TokenBasis(self.estimate.label.value)

    @property
    def ratio(self) -> Fraction:
        return Fraction(1) if self.estimate is None else self.estimate.ratio

    @property
    def baseline_cost(self) -> Fraction:
        return Fraction(self.baseline_prompt) * self.prompt_ratio + Fraction(self.baseline_completion) * self.ratio

    @property
    def baseline_completion_tokens(self) -> Fraction:
        return self.requests.completion_tokens * self.ratio


@dataclass(frozen=True, slots=True)
class Excluded:
    """Requests that take no part in the saving."""

    requests: Requests
    reason: LeftOut


class CurrencyMismatchError(ValueError):
    """Prices and baseline are in two currencies; no saving can be computed without an exchange rate."""


class Comparison:
    """Compares usage at one baseline by one method."""

    def __init__(
        self,
        prices: PriceBook,
        baseline: Baseline,
        method: Method,
        ratios: RatioBook,
    ) -> None:
        self._prices = prices
        self._baseline = baseline
        self._baseline_prices = baseline.price_book()
        self._method = method
        self._ratios = ratios
        ours, theirs = prices.currency, self._baseline_prices.currency
        if ours is not None and theirs is not None and ours != theirs:
            raise CurrencyMismatchError(f"prices are in {ours}, those of the baseline {baseline.name} in {theirs}")

    def compare(self, requests: Requests) -> Compared | Excluded:
        actual = self._prices.rate([requests.usage])
        baseline = self._baseline_prices.rate([replace(requests.usage, model=self._baseline.name)])
        if (reason := _left_out(requests, actual, baseline)) is not None:
            return Excluded(requests, reason)
        theirs, ours = _Parts.of(baseline), _Parts.of(actual)
        prompt_ratio, estimate, no_claim = Fraction(1), None, None
        if self._method is Method.L2:
            estimate, no_claim = self._token_claim(requests)
        elif self._method is Method.L3:
            estimate = self._judged(requests, ours.completion, theirs.completion)
            if estimate is None or estimate.no_worse is None:
                return Excluded(requests, LeftOut.NOT_JUDGED)
            of_worse_ones = min(Fraction(1), _cost_ratio(ours.prompt, theirs.prompt))
            prompt_ratio = estimate.no_worse + (1 - estimate.no_worse) * of_worse_ones
        return Compared(
            requests=requests,
            actual=actual.cost,
            baseline_prompt=theirs.prompt,
            baseline_completion=theirs.completion,
            prompt_ratio=prompt_ratio,
            baseline_lines=baseline.lines,
            estimate=estimate,
            no_claim=no_claim,
            lines=actual.lines,
        )

    def _judged(self, requests: Requests, ours: Decimal, theirs: Decimal) -> RatioEstimate | None:
        # A sample has whole answers only, so it says nothing of those that were cut off.
        if requests.status is Status.LENGTH:
            return None
        return self._ratios.find_judged(requests.stratum, _cost_ratio(ours, theirs))

    def _token_claim(self, requests: Requests) -> tuple[RatioEstimate | None, NoClaim | None]:
        found = self._ratios.find(requests.stratum)
        if isinstance(found, NoRatio):
            return None, NoClaim(found.value)
        if requests.status is Status.LENGTH and found.ratio > 1:
            # max_tokens would have cut the baseline's longer answer at the same length.
            return None, NoClaim.CUT_OFF
        return found, None


_UNFINISHED = {Status.ABORTED: LeftOut.ABORTED, Status.ERROR: LeftOut.ERROR}


def _left_out(requests: Requests, actual: Rated, baseline: Rated) -> LeftOut | None:
    """Why these requests take no part, by any method."""
    if requests.status in _UNFINISHED:
        return _UNFINISHED[requests.status]
    if actual.unpriced:
        return LeftOut.UNPRICED
    if baseline.unpriced:
        return LeftOut.BASELINE_UNPRICED
    return LeftOut.DIFFERENT_COST_BASIS if len(_bases(actual) | _bases(baseline)) > 1 else None


@dataclass(frozen=True, slots=True)
class _Parts:
    prompt: Decimal
    completion: Decimal

    @classmethod
    def of(cls, rated: Rated) -> Self:
        return cls(
            exact_sum(line.cost for line in rated.lines if line.segment in PROMPT_SEGMENTS),
            exact_sum(line.cost for line in rated.lines if line.segment not in PROMPT_SEGMENTS),
        )


def _cost_ratio(ours: Decimal, theirs: Decimal) -> Fraction:
    """Our cost over theirs, of the same tokens. Where theirs is nothing it does not matter how much of it there is."""
    return Fraction(ours) / Fraction(theirs) if theirs else Fraction(1)


def _bases(rated: Rated) -> set[str]:
    return {line.price.basis for line in rated.lines if line.price is not None}
