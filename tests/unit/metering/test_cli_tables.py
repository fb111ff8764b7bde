"""Tables for a terminal of 100 columns, and CSV with exact amounts."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from rich.console import Console, RenderableType

from kat.usage_event import Segment
from kat_metering.cli_tables import (
    amount,
    csv_text,
    estimate_table,
    price_table,
    print_table,
    savings_table,
    usage_table,
)
from kat_metering.defaults import article, default_prices
from kat_metering.estimate import Overrides, estimate_for_task


def rendered(table: RenderableType, width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO(), record=True)
    print_table(table, console)
    return console.export_text()


def usage_of(requests: int, *, unpriced: int = 0, **groups: Any) -> dict[str, Any]:
    tokens = {segment.value: 1_000_000 + i for i, segment in enumerate(Segment)}
    cost = None if unpriced else "1234.5678"
    return {
        **groups,
        "requests": requests,
        "tokens": tokens,
        "cost": cost,
        "currency": "USD",
        "unpriced_tokens": unpriced,
    }


def usage_report(*rows: dict[str, Any]) -> dict[str, Any]:
    totals = usage_of(99, unpriced=sum(row["unpriced_tokens"] for row in rows))
    return {"from": "2026-11-01T00:00:00Z", "to": "2026-11-24T13:00:00Z", "as_of": None, "rows": rows, "totals": totals}


def saving(**changed: Any) -> dict[str, Any]:
    return {
        "requests": 10,
        "actual_cost": "0.1",
        "baseline_cost": "0.09",
        "savings": "-0.01",
        "savings_share": -0.111,
        "completion_tokens": 1_000,
        "baseline_completion_tokens": 900,
        "token_basis": "measured",
        "samples": 40,
        "interval": {"low": "-0.02", "high": "0.01", "level": 0.95},
        **changed,
    }


SAVINGS_REPORT: dict[str, Any] = {
    "method": "L2",
    "method_description": "how",
    "currency": "USD",
    "from": "2026-11-01T00:00:00Z",
    "to": "2026-11-24T13:00:00Z",
    "as_of": "2026-11-24T12:59:59.123456Z",
    "baseline": {
        "name": "dense-200b",
        "architecture": "dense",
        "description": "a thought experiment",
        "hypothetical": True,
        "prices": [{"source": "a list", "source_date": "2026-01-01"}],
    },
    "price_sources": [{"model": "M", "source": "a contract", "source_date": "2026-02-02"}],
    "totals": saving(),
    "rows": [saving(tenant="acme", mode="on")],
    "exclusions": [
        {"reason": "aborted", "left_out": True, "requests": 3, "explanation": "gone"},
        {"reason": "cut_off_by_max_tokens", "left_out": False, "requests": 4, "explanation": "short"},
    ],
    "assumptions": ["the moon is full"],
}


@pytest.mark.parametrize(
    ("exact", "shown"),
    [
        ("0", "0"),
        ("1234.5678", "1,234.57"),
        ("1", "1.00"),
        ("-2.5", "-2.50"),
        ("0.123456", "0.1235"),
        ("0.0000064", "0.000006400"),
        ("-0.00012", "-0.0001200"),
        (None, "unpriced"),
    ],
)
def test_small_amounts_keep_four_significant_digits(exact: str | None, shown: str) -> None:
    assert amount(exact) == shown


def test_usage_by_tenant_model_and_mode_fits_a_hundred_columns() -> None:
    row = usage_of(12_345, tenant="acme", model="KAT-V1-40B", mode="on")
    text = rendered(usage_table(usage_report(row)))
    assert max(map(len, text.splitlines())) <= 100
    for whole in ("12,345", "2,000,001", "1,000,005", "1,234.57"):
        assert whole in text


def test_a_table_that_does_not_fit_grows_instead_of_cutting_its_numbers() -> None:
    row = usage_of(1_234_567, tenant="a-tenant-with-a-long-name", day="2026-11-24", model="KAT-V1-40B-FP8", mode="on")
    text = rendered(usage_table(usage_report(row)), width=60)
    for whole in ("1,234,567", "2,000,001", "1,000,005", "1,234.57"):
        assert whole in text


def test_unpriced_usage_gets_a_column_of_its_own_and_an_explanation() -> None:
    text = rendered(usage_table(usage_report(usage_of(1, unpriced=77, model="mystery"))))
    assert "77" in text
    assert "no price was in force" in text


def test_without_unpriced_usage_there_is_no_such_column() -> None:
    assert "unpriced" not in rendered(usage_table(usage_report(usage_of(1, model="M"))))


def test_a_savings_table_names_all_that_its_figures_rest_on() -> None:
    text = rendered(savings_table(SAVINGS_REPORT))
    for said in (
        "L2 savings against dense-200b (hypothetical), in USD",
        "-0.01000",
        "-0.02000 to",
        "-11.1%",
        "95% bootstrap interval, n = 40",
        "Left out: 3 requests (aborted). gone",
        "At equal tokens: 4 requests (cut off by max tokens). short",
        "Assumed: the moon is full",
        "Price of M: a contract (2026-02-02)",
        "Price of dense-200b: a list (2026-01-01)",
        "as of 2026-11-24T12:59:59Z",
    ):
        assert said in text


def test_an_estimate_shows_its_result_inputs_and_the_three_tasks() -> None:
    report = estimate_for_task(article(), "humaneval", Overrides()).model_dump(mode="json")
    text = rendered(estimate_table(report))
    assert max(map(len, text.splitlines())) <= 100
    for said in ("Saves 300.00 USD", "5,555.56", "AIME2024", "LiveCodeBench", "HumanEval", "60 %", "cited", "derived"):
        assert said in text


def test_prices_refer_to_their_sources_by_number() -> None:
    prices = [price.model_dump(mode="json") for price in default_prices()]
    text = rendered(price_table({"currency": "USD", "prices": prices, "warnings": ["a gap"]}))
    assert "3: Derived from the introduction article" in text
    assert "KAT-V1-40B    think          any               0.1  2025-01-01T00h      compute       3" in text
    assert "Warning: a gap" in text


def test_csv_has_exact_amounts_and_a_column_for_each_nested_number() -> None:
    text = csv_text([{"tenant": "=x", "cost": "-0.001577664", "tokens": {"think": 1}}, {"tenant": "b", "extra": 2}])
    assert list(csv.DictReader(io.StringIO(text))) == [
        {"tenant": "'=x", "cost": "-0.001577664", "tokens.think": "1", "extra": ""},
        {"tenant": "b", "cost": "", "tokens.think": "", "extra": "2"},
    ]
