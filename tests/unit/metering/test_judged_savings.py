"""L3: what answers that were judged no worse save, and that worse ones save nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kat.usage_event import Mode, Segment, Status
from kat_metering.comparison import Requests
from kat_metering.defaults import default_baselines, default_prices
from kat_metering.methods import LeftOut, Method
from kat_metering.prices import PriceBook, UsageLine
from kat_metering.savings import Inputs, savings_report
from kat_metering.savings_report import Group, SavingsReport, TokenBasis
from kat_metering.token_ratios import MINIMUM_SAMPLES, RatioBook, ShadowPairs, Stratum

HOUR = datetime(2026, 11, 24, 12, tzinfo=UTC)
STRATUM = Stratum("KAT-V1-40B", Mode.ON, "", "0-255")
BASELINES = {baseline.name: baseline for baseline in default_baselines()}


def requests(status: Status = Status.OK, **tokens: int) -> Requests:
    used = dict.fromkeys(Segment, 0) | {Segment(name): count for name, count in tokens.items()}
    return Requests(1, STRATUM, status, UsageLine(STRATUM.model, STRATUM.mode, HOUR, used))


def pairs(*verdicts: int, ours: int = 100, theirs: int = 200) -> ShadowPairs:
    """Pairs alike but for their verdicts: 1 no worse, 0 worse, -1 not judged."""
    count = len(verdicts)
    return ShadowPairs(
        np.full(count, ours, dtype=np.int64),
        np.full(count, theirs, dtype=np.int64),
        np.array(verdicts, dtype=np.int8),
        ("a judge",),
    )


def report(
    samples: Mapping[Stratum, ShadowPairs],
    *usage: Requests,
    baseline: str = "kat-v1-200b",
    method: Method = Method.L3,
) -> SavingsReport:
    return savings_report(
        Inputs(
            usage=[(Group(), each) for each in usage or [requests(think=1_000_000)]],
            prices=PriceBook(default_prices()),
            baseline=BASELINES[baseline],
            ratios=RatioBook(BASELINES[baseline], samples, seed=1, replicates=200),
            method=method,
            start=HOUR,
            end=HOUR + timedelta(hours=1),
            as_of=None,
        )
    )


def test_where_all_answers_are_no_worse_l3_is_l2() -> None:
    samples = {STRATUM: pairs(*[1] * 40)}
    assert report(samples).totals == report(samples, method=Method.L2).totals


def test_a_worse_answer_saves_nothing() -> None:
    # Half of them worse: of 0.1 USD saved at a ratio of 2 and one price, half is left.
    assert report({STRATUM: pairs(*[1, 0] * 20)}).totals.savings == Decimal("0.05")


def test_where_all_answers_are_worse_nothing_is_saved_however_dear_the_baseline() -> None:
    totals = report(
        {STRATUM: pairs(*[0] * 40)}, requests(prompt=1_000_000, think=1_000_000), baseline="dense-200b"
    ).totals
    assert totals.savings == 0


def test_where_the_baseline_is_cheaper_a_worse_answer_keeps_the_loss() -> None:
    samples = {STRATUM: pairs(*[0] * 40, ours=200, theirs=100)}
    assert report(samples).totals.savings == Decimal("-0.05")


@given(
    st.lists(
        st.tuples(st.integers(1, 1_000), st.integers(0, 5_000), st.sampled_from([0, 1])), min_size=30, max_size=60
    ),
    st.sampled_from(sorted(BASELINES)),
)
def test_l3_never_claims_more_than_l2_of_the_same_samples(judged: list[tuple[int, int, int]], baseline: str) -> None:
    ours, theirs, verdicts = (np.array(column, dtype=np.int64) for column in zip(*judged, strict=True))
    samples = {STRATUM: ShadowPairs(ours, theirs, verdicts.astype(np.int8), ("a judge",))}
    usage = requests(prompt=500_000, think=1_000_000)
    l2, l3 = (report(samples, usage, baseline=baseline, method=method).totals for method in (Method.L2, Method.L3))
    assert l3.savings <= l2.savings


def test_pairs_that_nobody_judged_do_not_count() -> None:
    samples = {STRATUM: pairs(*[1] * (MINIMUM_SAMPLES - 1), *[-1] * 100)}
    found = report(samples)
    assert [(each.reason, each.left_out) for each in found.exclusions] == [(LeftOut.NOT_JUDGED, True)]
    assert (found.totals.requests, found.totals.savings) == (0, Decimal(0))


def test_an_answer_that_was_cut_off_is_left_out() -> None:
    found = report({STRATUM: pairs(*[1] * 40)}, requests(Status.LENGTH, think=1), requests(think=1))
    assert [(each.reason, each.requests) for each in found.exclusions] == [(LeftOut.NOT_JUDGED, 1)]


def test_the_report_names_share_judge_sample_and_interval() -> None:
    found = report({STRATUM: pairs(*[1, 1, 1, 0] * 10)})
    [stratum] = found.strata
    assert (stratum.no_worse, stratum.samples, stratum.label) == (0.75, 40, TokenBasis.MEASURED)
    assert stratum.source == "shadow sample of 40 judged requests, 30 no worse, judged by a judge"
    assert found.totals.interval is not None
    assert found.totals.interval.low < found.totals.savings < found.totals.interval.high


def test_the_assumptions_say_that_verdicts_stand_for_the_stratum() -> None:
    said = report({STRATUM: pairs(*[1] * 40)}).assumptions
    assert any("verdicts" in each for each in said)
    assert not any("would be L3" in each for each in said)


@pytest.mark.parametrize("method", [Method.L2, Method.L3])
def test_measured_ratios_are_said_to_rest_on_a_sample(method: Method) -> None:
    said = "sampled with consent"
    assert any(said in each for each in report({STRATUM: pairs(*[1] * 40)}, method=method).assumptions)
    assert not any(said in each for each in report({}, method=method).assumptions)


@pytest.mark.parametrize("method", [Method.L1, Method.L2])
def test_other_methods_say_that_quality_is_not_compared(method: Method) -> None:
    assert any("quality of the answers is not compared" in each for each in report({}, method=method).assumptions)


def test_the_ratio_of_a_judged_sample_is_exact() -> None:
    book = RatioBook(BASELINES["kat-v1-200b"], {STRATUM: pairs(*[1, 0, 0] * 10)}, seed=1)
    found = book.find_judged(STRATUM, Fraction(10, 7))
    assert found is not None
    # Of 300 tokens of ours: 200 of the baseline's count in full, twice 200 as no more than 100 * 10/7.
    assert found.ratio == Fraction(200 + 2 * Fraction(1000, 7)) / 300
