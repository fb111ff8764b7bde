"""The article's arithmetic, reproduced from its own figures and from others."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from kat_metering.defaults import article
from kat_metering.estimate import EstimateReport, Overrides, UnknownTaskError, estimate_for_task


def an_estimate(task: str = "humaneval", **figures: Any) -> EstimateReport:
    return estimate_for_task(article(), task, Overrides.model_validate(figures))


def steps(report: EstimateReport) -> dict[str, Decimal]:
    return {step.name: step.value for step in report.steps}


def test_a_million_humaneval_calls_save_exactly_300_usd() -> None:
    report = an_estimate(calls="1e6")
    assert (report.savings, report.currency) == (Decimal(300), "USD")


def test_every_step_to_the_300_usd_is_shown() -> None:
    assert steps(an_estimate()) == {
        "tokens saved per call": 3_000,
        "share of the baseline's tokens": 60,
        "tokens saved": 3_000_000_000,
        "GPU time saved": 150,
        "price of generated tokens": Decimal("0.1"),
        "savings": 300,
    }


def test_the_throughput_is_derived_from_the_article_and_labelled_so() -> None:
    [throughput] = [each for each in an_estimate().inputs if each.name == "tokens_per_gpu_second"]
    assert (throughput.value, throughput.label) == (Decimal("5555.555556"), "derived")


def test_every_input_that_was_not_given_names_the_article() -> None:
    for each in an_estimate(calls=5).inputs:
        assert (each.label == "given") is (each.name == "calls")
        assert ("arXiv:2507.08297" in each.source) is (each.name != "calls")


def test_the_three_rows_of_the_token_table_are_shown() -> None:
    rows = [(row.title, row.tokens_ours, row.tokens_baseline, row.saved_percent) for row in an_estimate().token_table]
    assert rows == [
        ("AIME2024", 15_000, 25_000, Decimal(40)),
        ("LiveCodeBench", 12_000, 20_000, Decimal(40)),
        ("HumanEval", 2_000, 5_000, Decimal(60)),
    ]


@pytest.mark.parametrize(("task", "share"), [("aime2024", 40), ("livecodebench", 40), ("humaneval", 60)])
def test_each_task_saves_its_share_of_the_tokens(task: str, share: int) -> None:
    assert steps(an_estimate(task))["share of the baseline's tokens"] == share


def test_every_figure_can_be_replaced() -> None:
    report = an_estimate(calls=10, tokens_ours=100, tokens_baseline=460, gpu_hour_price=3, tokens_per_gpu_second=1)
    assert report.savings == 3
    assert {each.label for each in report.inputs} == {"given"}


def test_a_baseline_that_needs_fewer_tokens_gives_a_negative_saving() -> None:
    assert an_estimate(tokens_baseline=1_000).savings == -100


@pytest.mark.parametrize("figure", Overrides.model_fields)
@pytest.mark.parametrize("value", ["0", "-1", "NaN", "Infinity", "1e30"])
def test_an_impossible_figure_is_refused_by_name(figure: str, value: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Overrides.model_validate({figure: Decimal(value)})
    assert refused.value.errors()[0]["loc"] == (figure,)


def test_an_unknown_task_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownTaskError, match=r"'chess'.*aime2024, livecodebench, humaneval"):
        an_estimate("chess")


@given(st.integers(1, 10**9), st.integers(1, 50))
def test_savings_grow_in_proportion_to_the_calls(calls: int, factor: int) -> None:
    exact = Decimal(300) * calls / 10**6
    assert an_estimate(calls=calls).savings == exact
    assert an_estimate(calls=calls * factor).savings == exact * factor
