"""The figures that ship with metering: every one of them says where it comes from."""

import re
from datetime import date
from fractions import Fraction
from importlib import resources
from typing import Any

import pytest
import yaml

from kat.usage_event import Segment
from kat_metering.defaults import article, default_baselines, default_prices
from kat_metering.price_checks import problems
from kat_metering.prices import Price

NAMED_SOURCE = re.compile(r"arXiv:\d{4}\.\d{5}|OpenCost|docs\.api\.nvidia\.com")
FILES = ("prices.yaml", "baselines.yaml", "article.yaml")


def data(name: str) -> Any:
    return yaml.safe_load(resources.files("kat_metering").joinpath("data", name).read_text("utf-8"))


def unsourced(node: Any, *, sourced: bool, path: str = "") -> list[str]:
    """Paths of the numbers that neither their object nor an object around it gives a source and a date."""
    if isinstance(node, dict):
        here = sourced or ("from" in node) or ("source" in node and isinstance(node.get("source_date"), date))
        return [bad for key, value in node.items() for bad in unsourced(value, sourced=here, path=f"{path}/{key}")]
    if isinstance(node, list):
        return [bad for i, value in enumerate(node) for bad in unsourced(value, sourced=sourced, path=f"{path}/{i}")]
    return [path] if isinstance(node, int | float) and not isinstance(node, bool) and not sourced else []


@pytest.mark.parametrize("name", FILES)
def test_every_number_in_a_data_file_stands_under_a_source_and_a_date(name: str) -> None:
    assert unsourced(data(name), sourced=False) == []


def test_a_number_without_a_source_would_be_found() -> None:
    assert unsourced({"prices": [{"per_million": 1}]}, sourced=False) == ["/prices/0/per_million"]


@pytest.mark.parametrize("price", default_prices(), ids=lambda price: f"{price.model}-{price.segment}")
def test_every_default_price_names_a_public_source_and_its_own_number(price: Price) -> None:
    assert NAMED_SOURCE.search(price.source)
    assert f"{price.per_million}" in price.source


def test_every_baseline_price_names_a_public_source_and_its_own_number() -> None:
    for baseline in default_baselines():
        for price in baseline.prices:
            assert NAMED_SOURCE.search(price.source), baseline.name
            assert f"{price.per_million}" in price.source, baseline.name


def test_the_default_price_book_has_no_problem() -> None:
    assert problems(default_prices()) == []


def test_the_price_of_generated_tokens_is_what_the_article_implies() -> None:
    example = article().example
    per_million = Fraction(example.gpu_hour_price) * 1_000_000 / (article().tokens_per_gpu_second * 3600)
    generated = [price for price in default_prices() if "prompt" not in price.segment]
    assert {Fraction(price.per_million) for price in generated} == {per_million}


def test_the_laptop_model_is_priced_as_the_model_that_it_stands_in_for() -> None:
    by_model: dict[str, dict[Segment, Any]] = {}
    for price in default_prices():
        by_model.setdefault(price.model, {})[price.segment] = price.per_million
    assert by_model["smollm2-135m"] == by_model["KAT-V1-40B"]


@pytest.mark.parametrize("baseline", default_baselines(), ids=lambda baseline: baseline.name)
def test_a_baseline_costs_per_token_what_its_active_parameters_say(baseline: Any) -> None:
    ours = {price.segment: price.per_million for price in default_prices() if price.model == "KAT-V1-40B"}
    for price in baseline.prices:
        expected = Fraction(ours[price.segment]) * Fraction(baseline.active_parameters, 40_570_000_000)
        # The 200B model's "40B active" is a rounded figure, so it is priced as equal: within 1.5 %.
        assert abs(Fraction(price.per_million) / expected - 1) < Fraction(15, 1000)


def test_only_the_dense_200b_baseline_is_hypothetical_and_it_says_so() -> None:
    hypothetical = [baseline for baseline in default_baselines() if baseline.hypothetical]
    assert [baseline.name for baseline in hypothetical] == ["dense-200b"]
    assert "hypothetical" in hypothetical[0].architecture


def test_ratios_borrowed_from_another_model_come_with_an_assumption() -> None:
    for baseline in default_baselines():
        borrowed = bool(baseline.token_ratios) and baseline.name != "deepseek-r1-0528"
        assert (baseline.token_ratio_assumption is not None) is borrowed


def test_no_shipped_ratio_is_called_measured() -> None:
    assert {ratio.label.value for baseline in default_baselines() for ratio in baseline.token_ratios} == {"cited"}
