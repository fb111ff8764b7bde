"""Savings reports: both sides on one basis, every claim labelled, everything left out listed."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kat.usage_event import Mode, Segment, Status
from kat_metering.baselines import Baseline
from kat_metering.comparison import CurrencyMismatchError, Requests
from kat_metering.defaults import default_baselines, default_prices
from kat_metering.methods import LeftOut, Method, NoClaim
from kat_metering.prices import PriceBook, UsageLine
from kat_metering.savings import EXPLANATIONS, Inputs, savings_report
from kat_metering.savings_report import Group, SavingsReport, TokenBasis
from kat_metering.token_ratios import RatioBook, ShadowPairs, Stratum

HOUR = datetime(2026, 11, 24, 12, tzinfo=UTC)
MODEL = "KAT-V1-40B"
BASELINES = {baseline.name: baseline for baseline in default_baselines()}
BOOK = PriceBook(default_prices())


def requests(
    count: int = 1,
    *,
    answer: int = 1_000_000,
    prompt: int = 0,
    task: str = "",
    status: Status = Status.OK,
    model: str = MODEL,
    mode: Mode = Mode.ON,
) -> Requests:
    return Requests(
        count=count,
        stratum=Stratum(model, mode, task, "0-255"),
        status=status,
        usage=UsageLine(model, mode, HOUR, {Segment.PROMPT: prompt, Segment.ANSWER: answer}),
    )


def report(
    usage: Sequence[Requests | tuple[Group, Requests]],
    *,
    baseline: Baseline | str = "deepseek-r1-0528",
    method: Method = Method.L2,
    samples: Mapping[Stratum, ShadowPairs] | None = None,
    book: PriceBook = BOOK,
) -> SavingsReport:
    against = BASELINES[baseline] if isinstance(baseline, str) else baseline
    return savings_report(
        Inputs(
            usage=[each if isinstance(each, tuple) else (Group(), each) for each in usage],
            prices=book,
            baseline=against,
            ratios=RatioBook(against, samples or {}, seed=1, replicates=500),
            method=method,
            start=HOUR,
            end=HOUR + timedelta(hours=1),
            as_of=None,
        )
    )


def test_equal_tokens_against_equal_active_parameters_save_nothing() -> None:
    assert report([requests()], baseline="kat-v1-200b", method=Method.L1).totals.savings == 0


def test_equal_tokens_against_the_dense_200b_save_the_difference_in_price() -> None:
    totals = report([requests()], baseline="dense-200b", method=Method.L1).totals
    assert (totals.actual_cost, totals.baseline_cost, totals.savings) == (
        Decimal("0.1"),
        Decimal("0.492975"),
        Decimal("0.392975"),
    )


def test_a_saving_may_be_negative_and_is_shown_so() -> None:
    totals = report([requests()], method=Method.L1).totals
    assert totals.savings == Decimal("-0.0088")
    assert totals.savings_share is not None
    assert totals.savings_share < 0


def test_the_cited_ratio_scales_completion_tokens_and_leaves_the_prompt_alone() -> None:
    totals = report([requests(task="humaneval", prompt=1_000_000)], baseline="kat-v1-200b").totals
    # 1M answer tokens at 0.10 times 5/2, and 1M prompt tokens at 0.04 on both sides.
    assert (totals.baseline_cost, totals.savings) == (Decimal("0.29"), Decimal("0.15"))
    assert (totals.completion_tokens, totals.baseline_completion_tokens) == (1_000_000, 2_500_000)


def test_a_cited_ratio_is_labelled_cited_and_has_no_interval() -> None:
    totals = report([requests(task="humaneval")]).totals
    assert (totals.token_basis, totals.interval) == (TokenBasis.CITED, None)


def test_a_mixture_of_cited_and_measured_is_called_cited_and_has_no_interval() -> None:
    sample = ShadowPairs(np.full(40, 10), np.full(40, 20))
    usage = [requests(), requests(task="humaneval")]
    totals = report(usage, samples={requests().stratum: sample}).totals
    assert (totals.token_basis, totals.interval) == (TokenBasis.CITED, None)
    assert (totals.requests_by_basis.measured, totals.requests_by_basis.cited) == (1, 1)


def test_a_measured_saving_lies_in_its_interval_and_names_its_sample() -> None:
    rng = np.random.default_rng(2)
    sample = ShadowPairs(rng.integers(50, 150, 80), rng.integers(100, 500, 80))
    totals = report([requests()], samples={requests().stratum: sample}).totals
    assert totals.interval is not None
    assert totals.interval.low < totals.savings < totals.interval.high
    assert (totals.token_basis, totals.samples) == (TokenBasis.MEASURED, 80)


def test_an_interval_does_not_depend_on_how_usage_is_split_into_lines() -> None:
    rng = np.random.default_rng(2)
    samples = {requests().stratum: ShadowPairs(rng.integers(50, 150, 80), rng.integers(100, 500, 80))}
    whole = report([requests(2, answer=2_000_000)], samples=samples).totals.interval
    parts = report([requests(), requests()], samples=samples).totals.interval
    assert whole is not None
    assert parts is not None
    assert float(whole.low) == pytest.approx(float(parts.low))


def test_a_ratio_measured_on_one_model_says_nothing_of_another() -> None:
    sample = ShadowPairs(np.full(40, 10), np.full(40, 20))
    found = report([requests(model="smollm2-135m")], samples={requests().stratum: sample})
    assert found.totals.token_basis is TokenBasis.EQUAL_TOKENS


def test_without_a_ratio_the_saving_is_that_of_equal_tokens_and_the_requests_are_listed() -> None:
    found = report([requests(3)])
    assert found.totals.savings == report([requests(3)], method=Method.L1).totals.savings
    assert [(each.reason, each.requests, each.left_out) for each in found.exclusions] == [
        (NoClaim.NO_SHADOW_SAMPLE, 3, False)
    ]


@pytest.mark.parametrize(("status", "reason"), [(Status.ABORTED, LeftOut.ABORTED), (Status.ERROR, LeftOut.ERROR)])
def test_requests_without_a_full_answer_are_left_out_and_listed(status: Status, reason: LeftOut) -> None:
    found = report([requests(2, status=status), requests(task="humaneval")])
    assert found.totals.requests == 1
    assert [(each.reason, each.requests, each.left_out) for each in found.exclusions] == [(reason, 2, True)]


def test_no_longer_answer_is_claimed_where_max_tokens_cut_ours() -> None:
    found = report([requests(task="humaneval", status=Status.LENGTH)])
    assert found.totals.baseline_completion_tokens == found.totals.completion_tokens
    assert [each.reason for each in found.exclusions] == [NoClaim.CUT_OFF]


def test_a_shorter_answer_of_the_baseline_counts_also_where_max_tokens_cut_ours() -> None:
    cut = requests(status=Status.LENGTH)
    found = report([cut], samples={cut.stratum: ShadowPairs(np.full(40, 10), np.full(40, 5))})
    assert found.totals.baseline_completion_tokens == found.totals.completion_tokens // 2


def test_unpriced_usage_is_left_out_and_not_counted_as_free() -> None:
    found = report([requests(model="unknown-model"), requests(task="humaneval")])
    assert found.totals.requests == 1
    assert [each.reason for each in found.exclusions] == [LeftOut.UNPRICED]


def test_usage_from_before_the_baseline_had_a_price_is_left_out() -> None:
    dense = BASELINES["dense-200b"]
    late = [price.model_copy(update={"effective_from": HOUR + timedelta(hours=1)}) for price in dense.prices]
    found = report([requests()], baseline=dense.model_copy(update={"prices": tuple(late)}))
    assert [each.reason for each in found.exclusions] == [LeftOut.BASELINE_UNPRICED]


def test_compute_cost_is_never_compared_with_a_list_price() -> None:
    listed = PriceBook(price.model_copy(update={"basis": "list_price"}) for price in default_prices())
    found = report([requests()], book=listed)
    assert found.totals.requests == 0
    assert [each.reason for each in found.exclusions] == [LeftOut.DIFFERENT_COST_BASIS]


def test_two_currencies_are_an_error() -> None:
    euros = PriceBook(price.model_copy(update={"currency": "EUR"}) for price in default_prices())
    with pytest.raises(CurrencyMismatchError, match=r"EUR.*USD"):
        report([requests()], book=euros)


def test_a_report_names_everything_that_it_rests_on() -> None:
    found = report([requests(task="humaneval")], baseline="kat-v1-200b")
    assert found.method_version
    assert (found.baseline.active_parameters, found.currency) == (40_000_000_000, "USD")
    assert "arXiv" in found.price_sources[0].source
    assert found.price_sources[0].source_date == date(2025, 7, 21)
    assert any("DeepSeek-R1-0528" in each for each in found.assumptions)


def test_a_hypothetical_baseline_is_called_so_in_the_assumptions() -> None:
    assert any("hypothetical" in each for each in report([requests()], baseline="dense-200b").assumptions)


def test_ratios_cited_for_one_model_and_applied_to_another_are_an_assumption_that_names_it() -> None:
    found = report([requests(task="humaneval", model="smollm2-135m")])
    assert any("smollm2-135m" in each for each in found.assumptions)


def test_a_stratum_shows_its_ratio_with_label_and_interval() -> None:
    rng = np.random.default_rng(2)
    sample = ShadowPairs(rng.integers(50, 150, 80), rng.integers(100, 500, 80))
    measured, cited = report([requests(), requests(task="humaneval")], samples={requests().stratum: sample}).strata
    assert measured.ratio_low is not None
    assert measured.ratio_high is not None
    assert measured.ratio_low < measured.ratio < measured.ratio_high
    assert (cited.ratio, cited.label, cited.ratio_low) == (2.5, TokenBasis.CITED, None)


def test_every_reason_has_an_explanation() -> None:
    assert set(EXPLANATIONS) == {*LeftOut, *NoClaim}


def test_no_usage_gives_an_empty_report() -> None:
    totals = report([]).totals
    assert (totals.requests, totals.savings_share, totals.interval) == (0, None, None)
    assert totals.savings == 0


def test_without_a_price_for_any_segment_nothing_is_compared() -> None:
    assert report([requests()], book=PriceBook([])).totals.requests == 0


GROUPED = st.tuples(
    st.sampled_from([Group(tenant="a"), Group(tenant="b"), Group(tenant="c")]),
    st.builds(
        requests,
        st.integers(1, 9),
        answer=st.integers(0, 10**7),
        prompt=st.integers(0, 10**7),
        task=st.sampled_from(["", "humaneval", "aime2024"]),
        status=st.sampled_from([Status.OK, Status.LENGTH, Status.ABORTED]),
        model=st.sampled_from([MODEL, "smollm2-135m", "unknown-model"]),
    ),
)


@given(st.lists(GROUPED, max_size=15), st.sampled_from(sorted(BASELINES)), st.sampled_from(Method))
def test_groups_add_up_to_the_total(usage: list[Any], baseline: str, method: Method) -> None:
    found = report(usage, baseline=baseline, method=method)
    assert sum(row.requests for row in found.rows) == found.totals.requests
    assert sum((row.actual_cost for row in found.rows), Decimal(0)) == found.totals.actual_cost
    # Each row is rounded at the 15th place by itself.
    gap = abs(sum((row.savings for row in found.rows), Decimal(0)) - found.totals.savings)
    assert gap <= Decimal("1e-15") * (len(found.rows) + 1)


@given(st.lists(GROUPED, max_size=15), st.sampled_from(Method))
def test_every_request_is_either_compared_or_listed_as_left_out(usage: list[Any], method: Method) -> None:
    found = report(usage, method=method)
    left_out = sum(each.requests for each in found.exclusions if each.left_out)
    assert found.totals.requests + left_out == sum(each.count for _, each in usage)
