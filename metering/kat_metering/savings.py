"""Savings = baseline cost - actual cost, per group and in total, with the method, its inputs and what it leaves out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Final

import numpy as np

from kat_metering.baselines import Baseline, RatioLabel
from kat_metering.comparison import Compared, Comparison, Excluded, Requests
from kat_metering.methods import LeftOut, Method, NoClaim
from kat_metering.money import exact_sum, to_decimal
from kat_metering.prices import PriceBook
from kat_metering.savings_report import (
    BaselineSummary,
    Exclusion,
    Group,
    Interval,
    PriceSource,
    RequestsByBasis,
    Saving,
    SavingsReport,
    SavingsRow,
    StratumRow,
    TokenBasis,
)
from kat_metering.token_ratios import LEVEL, RatioBook, RatioEstimate, Stratum, percentile_interval

METHOD_VERSION: Final = "1"
"""Changes whenever the same usage, prices and samples would give another saving."""

METHODS: Final = {
    Method.L1: "L1: the baseline is assumed to need exactly our tokens; both counts at their own price.",
    Method.L2: (
        "L2: our completion tokens times the token ratio of their stratum (model, mode, task, prompt length), at the"
        " baseline's price; prompt tokens are the same on both sides. Ratios: shadow samples, else cited figures."
    ),
    Method.L3: (
        "L3: as L2, with ratios from judged shadow samples alone. An answer of ours that was judged worse counts with no"
        " more of the baseline's cost than it cost us: it saves nothing. What has too few judged samples is left out."
    ),
}

EXPLANATIONS: Final[dict[LeftOut | NoClaim, str]] = {
    LeftOut.ABORTED: "The client left before the end: there is no baseline answer to compare with. Costs stay in usage.",
    LeftOut.ERROR: "The request failed: there is no baseline answer to compare with. Costs stay in usage.",
    LeftOut.UNPRICED: "Some of our tokens have no price in the price book.",
    LeftOut.BASELINE_UNPRICED: "Some of the tokens have no price at the baseline.",
    LeftOut.DIFFERENT_COST_BASIS: "Our price and the baseline's stand for different things (compute, list price).",
    LeftOut.NOT_JUDGED: "Too few judged shadow samples of this kind of request, or the answer was cut off by max_tokens.",
    NoClaim.NO_SHADOW_SAMPLE: "No ratio is known for this kind of request, measured or cited.",
    NoClaim.TOO_FEW_SAMPLES: "Fewer samples than the minimum, and no cited ratio.",
    NoClaim.CUT_OFF: "max_tokens would have cut the baseline's longer answer at the same length.",
}


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a report is made from. `usage` pairs each line with the group that it falls in."""

    usage: Iterable[tuple[Group, Requests]]
    prices: PriceBook
    baseline: Baseline
    ratios: RatioBook
    method: Method
    start: datetime
    end: datetime
    as_of: datetime | None


def savings_report(inputs: Inputs) -> SavingsReport:
    """The report. Raises CurrencyMismatchError where the two sides are priced in two currencies."""
    comparison = Comparison(inputs.prices, inputs.baseline, inputs.method, inputs.ratios)
    groups: dict[Group, _Tally] = {}
    total = _Tally()
    left_out: list[Excluded] = []
    for group, requests in inputs.usage:
        result = comparison.compare(requests)
        if isinstance(result, Excluded):
            left_out.append(result)
        else:
            groups.setdefault(group, _Tally()).add(result)
            total.add(result)
    return SavingsReport(
        method=inputs.method,
        method_version=METHOD_VERSION,
        method_description=METHODS[inputs.method],
        baseline=_summary(inputs.baseline, inputs.end),
        price_sources=_price_sources(total.compared),
        currency=inputs.prices.currency,
        start=inputs.start,
        end=inputs.end,
        as_of=inputs.as_of,
        totals=total.saving(),
        rows=[
            SavingsRow(**group.model_dump(exclude_unset=True), **dict(tally.saving()))
            for group, tally in groups.items()
        ],
        strata=[] if inputs.method is Method.L1 else _strata(total.compared),
        exclusions=_exclusions(left_out, total.compared),
        assumptions=_assumptions(inputs, total.compared),
    )


def saving_of(compared: Iterable[Compared]) -> Saving:
    """The saving of some compared usage."""
    tally = _Tally()
    for each in compared:
        tally.add(each)
    return tally.saving()


@dataclass(slots=True)
class _Tally:
    compared: list[Compared] = field(default_factory=list)

    def add(self, compared: Compared) -> None:
        self.compared.append(compared)

    def saving(self) -> Saving:
        actual = exact_sum(each.actual for each in self.compared)
        baseline = sum((each.baseline_cost for each in self.compared), Fraction(0))
        savings = baseline - Fraction(actual)
        by_basis = {
            basis: sum(e.requests.count for e in self.compared if e.token_basis is basis) for basis in TokenBasis
        }
        used = {each.requests.stratum: each.estimate for each in self.compared if each.estimate is not None}
        theirs = sum((each.baseline_completion_tokens for each in self.compared), Fraction(0))
        return Saving(
            requests=sum(each.requests.count for each in self.compared),
            actual_cost=actual,
            baseline_cost=to_decimal(baseline),
            savings=to_decimal(savings),
            savings_share=float(savings / baseline) if baseline else None,
            completion_tokens=sum(each.requests.completion_tokens for each in self.compared),
            baseline_completion_tokens=round(theirs),
            token_basis=TokenBasis.weakest(basis for basis, count in by_basis.items() if count),
            requests_by_basis=RequestsByBasis(**{basis.value: count for basis, count in by_basis.items()}),
            samples=sum(estimate.samples for estimate in used.values()),
            interval=self._interval(by_basis, actual),
        )

    def _interval(self, by_basis: dict[TokenBasis, int], actual: Decimal) -> Interval | None:
        if by_basis[TokenBasis.CITED] or not by_basis[TokenBasis.MEASURED]:
            return None
        # Strata were sampled independently, so replicates add up; within one they are shared by all of its usage.
        weights: dict[int, Fraction] = {}
        replicates: dict[int, np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = {}
        certain = -Fraction(actual)
        for each in self.compared:
            certain += Fraction(each.baseline_prompt) * each.prompt_ratio
            if each.estimate is None or each.estimate.replicates is None:
                certain += Fraction(each.baseline_completion) * each.ratio
            else:
                # The book makes each estimate once; those of one stratum were drawn alike, so their replicates pair up.
                estimate = id(each.estimate)
                weights[estimate] = weights.get(estimate, Fraction(0)) + Fraction(each.baseline_completion)
                replicates[estimate] = each.estimate.replicates
        uncertain = sum(float(weight) * replicates[estimate] for estimate, weight in weights.items())
        low, high = percentile_interval(float(certain) + np.asarray(uncertain))
        return Interval(low=to_decimal(Fraction(low)), high=to_decimal(Fraction(high)), level=LEVEL)


def _summary(baseline: Baseline, end: datetime) -> BaselineSummary:
    return BaselineSummary(
        **baseline.model_dump(exclude={"prices", "token_ratios", "token_ratio_assumption"}),
        prices=tuple(price for price in baseline.prices if price.effective_from < end),
    )


def _price_sources(compared: Iterable[Compared]) -> list[PriceSource]:
    sources = {
        (price.model, price.basis, price.source): price.source_date for each in compared for price in each.prices
    }
    return [
        PriceSource(model=model, basis=basis, source=source, source_date=source_date)
        for (model, basis, source), source_date in sorted(sources.items())
    ]


def _strata(compared: Iterable[Compared]) -> list[StratumRow]:
    counts: dict[tuple[Stratum, TokenBasis], int] = {}
    estimates: dict[tuple[Stratum, TokenBasis], RatioEstimate | None] = {}
    for each in compared:
        key = each.requests.stratum, each.token_basis
        counts[key] = counts.get(key, 0) + each.requests.count
        estimates[key] = each.estimate
    return [_stratum_row(*key, count, estimates[key]) for key, count in sorted(counts.items())]


def _stratum_row(stratum: Stratum, basis: TokenBasis, count: int, estimate: RatioEstimate | None) -> StratumRow:
    low, high = (estimate.interval if estimate else None) or (None, None)
    return StratumRow(
        model=stratum.model,
        mode=stratum.mode,
        task=stratum.task,
        prompt_bucket=stratum.prompt_bucket,
        requests=count,
        ratio=float(estimate.ratio) if estimate else 1.0,
        label=basis,
        samples=estimate.samples if estimate else 0,
        ratio_low=low,
        ratio_high=high,
        source=estimate.source if estimate else None,
        no_worse=float(estimate.no_worse) if estimate and estimate.no_worse is not None else None,
    )


def _exclusions(left_out: Iterable[Excluded], compared: Iterable[Compared]) -> list[Exclusion]:
    found: dict[LeftOut | NoClaim, list[Requests]] = {}
    for excluded in left_out:
        found.setdefault(excluded.reason, []).append(excluded.requests)
    for each in compared:
        if each.no_claim is not None:
            found.setdefault(each.no_claim, []).append(each.requests)
    return [
        Exclusion(
            reason=reason,
            left_out=isinstance(reason, LeftOut),
            requests=sum(each.count for each in requests),
            completion_tokens=sum(each.completion_tokens for each in requests),
            explanation=EXPLANATIONS[reason],
        )
        for reason, requests in sorted(found.items())
    ]


def _assumptions(inputs: Inputs, compared: Iterable[Compared]) -> list[str]:
    said = ["Both sides are priced on one cost basis, and each counts tokens as its own engine does."]
    if inputs.method is Method.L3:
        said.append("The verdicts of the samples' judges stand for what a reader would say.")
    else:
        said.append("The quality of the answers is not compared (that would be L3).")
    if inputs.baseline.hypothetical:
        said.append(f"{inputs.baseline.name} is hypothetical: {inputs.baseline.description}")
    if inputs.method is Method.L1:
        said.append("The baseline is assumed to need as many tokens as we did.")
        return said
    cited = {e.requests.stratum.model: e for e in compared if e.estimate and e.estimate.label is RatioLabel.CITED}
    if cited:
        said.append(
            "Cited token ratios are averages of published benchmarks of KAT-V1-40B, not measured here; they are applied"
            f" to every request that carries the task's label, whatever its mode (models: {', '.join(sorted(cited))})."
        )
        if inputs.baseline.token_ratio_assumption:
            said.append(inputs.baseline.token_ratio_assumption)
    if any(each.token_basis is TokenBasis.MEASURED for each in compared):
        said.append(
            "Measured token ratios are of prompts sampled with consent, which stand for all requests of their stratum;"
            " the interval covers that sampling, nothing else."
        )
    if inputs.method is Method.L3:
        said.append(
            "The interval covers the sampling of completion tokens and verdicts; not the prompts' part in worse ones."
        )
    said.append("The ratio of a stratum applies to its judge, think, answer and control tokens alike.")
    return said
