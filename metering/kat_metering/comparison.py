"""One line of usage against the baseline: what it cost, what the baseline would have cost, or why that cannot be said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from kat.usage_event import Segment, Status
from kat_metering.baselines import Baseline
from kat_metering.methods import LeftOut, Method, NoClaim, NoRatio
from kat_metering.money import exact_sum
from kat_metering.prices import Price, PriceBook, Rated, UsageLine
from kat_metering.token_ratios import RatioEstimate, Stratum

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
    estimate: RatioEstimate | None
    no_claim: NoClaim | None
    prices: tuple[Price, ...]
    """Of ours."""

    @property
    def ratio(self) -> Fraction:
        return Fraction(1) if self.estimate is None else self.estimate.ratio

    @property
    def baseline_cost(self) -> Fraction:
        return Fraction(self.baseline_prompt) + Fraction(self.baseline_completion) * self.ratio

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
        ratio_for: Callable[[Stratum], RatioEstimate | NoRatio],
    ) -> None:
        self._prices = prices
        self._baseline = baseline
        self._baseline_prices = baseline.price_book()
        self._method = method
        self._ratio_for = ratio_for
        ours, theirs = prices.currency, self._baseline_prices.currency
        if ours is not None and theirs is not None and ours != theirs:
            raise CurrencyMismatchError(f"prices are in {ours}, those of the baseline {baseline.name} in {theirs}")

    def compare(self, requests: Requests) -> Compared | Excluded:
        if requests.status is Status.ABORTED:
            return Excluded(requests, LeftOut.ABORTED)
        if requests.status is Status.ERROR:
            return Excluded(requests, LeftOut.ERROR)
        actual = self._prices.rate([requests.usage])
        baseline = self._baseline_prices.rate([replace(requests.usage, model=self._baseline.name)])
        if actual.unpriced:
            return Excluded(requests, LeftOut.UNPRICED)
        if baseline.unpriced:
            return Excluded(requests, LeftOut.BASELINE_UNPRICED)
        if len(_bases(actual) | _bases(baseline)) > 1:
            return Excluded(requests, LeftOut.DIFFERENT_COST_BASIS)
        estimate, no_claim = self._token_claim(requests)
        return Compared(
            requests=requests,
            actual=actual.cost,
            baseline_prompt=exact_sum(line.cost for line in baseline.lines if line.segment in PROMPT_SEGMENTS),
            baseline_completion=exact_sum(line.cost for line in baseline.lines if line.segment not in PROMPT_SEGMENTS),
            estimate=estimate,
            no_claim=no_claim,
            prices=tuple(line.price for line in actual.lines if line.price is not None),
        )

    def _token_claim(self, requests: Requests) -> tuple[RatioEstimate | None, NoClaim | None]:
        if self._method is Method.L1:
            return None, None
        found = self._ratio_for(requests.stratum)
        if isinstance(found, NoRatio):
            return None, NoClaim(found.value)
        if requests.status is Status.LENGTH and found.ratio > 1:
            # max_tokens would have cut the baseline's longer answer at the same length.
            return None, NoClaim.CUT_OFF
        return found, None


def _bases(rated: Rated) -> set[str]:
    return {line.price.basis for line in rated.lines if line.price is not None}
