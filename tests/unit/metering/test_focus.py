"""Charges in the columns of FOCUS: exact, one for each SKU, savings apart."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kat.usage_event import Mode, Segment, Status
from kat_metering.comparison import Comparison, Requests
from kat_metering.defaults import default_baselines, default_prices
from kat_metering.exports.focus import ChargeKey, Charges, HourOfUsage, Savings, focus_text
from kat_metering.exports.focus_columns import FOCUS_COLUMNS
from kat_metering.methods import Method
from kat_metering.money import exact_sum
from kat_metering.periods import Window
from kat_metering.prices import PriceBook, UsageLine
from kat_metering.token_ratios import RatioBook, Stratum

HOUR = datetime(2026, 11, 24, 12, tzinfo=UTC)
BOOK = PriceBook(default_prices())
KEY = ChargeKey("acme", HOUR, "search", "0196f2a0-0000-7000-8000-000000000001", "KAT-V1-40B", Mode.ON)
BASELINE = next(each for each in default_baselines() if each.name == "kat-v1-200b")


def requests(
    *, count: int = 1, task: str = "", status: Status = Status.OK, model: str = "KAT-V1-40B", **tokens: int
) -> Requests:
    given_tokens = {segment: tokens.get(segment.value, 0) for segment in Segment}
    stratum = Stratum(model, Mode.ON, task, "0-255")
    return Requests(count, stratum, status, UsageLine(model, Mode.ON, HOUR, given_tokens))


def charges(
    *usage: Requests,
    key: ChargeKey = KEY,
    seconds: str = "10",
    method: Method | None = Method.L2,
    percent: str = "0",
    prices: PriceBook = BOOK,
) -> list[dict[str, Any]]:
    comparison = None
    if method is not None:
        ratios = RatioBook(BASELINE, {}, seed=1)
        comparison = Savings(BASELINE.name, method, Comparison(prices, BASELINE, method, ratios))
    maker = Charges(
        month=Window.month("2026-11"),
        prices=prices,
        currency="USD",
        provider="KAT Platform",
        tenants={"acme": "Acme Corp"},
        invoice_of=lambda _: "KAT-000007",
        percent_off=lambda *_: Decimal(percent),
        savings=comparison,
    )
    return list(maker.of(HourOfUsage(key, usage, Decimal(seconds))))


def test_each_segment_with_tokens_is_a_charge_of_its_own() -> None:
    found = charges(requests(prompt=10, think=20, answer=30), requests(think=5))
    assert [(row["x_Segment"], row["ConsumedQuantity"]) for row in found] == [
        ("prompt", 10), ("think", 25), ("answer", 30)]  # fmt: skip


def test_a_charge_has_every_column_of_the_export_and_no_other() -> None:
    [row] = charges(requests(think=1))
    assert row.keys() == FOCUS_COLUMNS.keys()


def test_quantity_times_unit_price_is_the_cost_to_the_last_digit() -> None:
    [row] = charges(requests(think=2_500_321))
    assert row["PricingUnit"] == "1000000 Tokens"
    assert row["PricingQuantity"] * row["ListUnitPrice"] == row["ListCost"] == Decimal("0.2500321")


def test_a_discount_lowers_what_is_billed_and_leaves_the_list_cost() -> None:
    [row] = charges(requests(think=1_000_000), percent="12.5")
    assert (row["ListCost"], row["ListUnitPrice"]) == (Decimal("0.1"), Decimal("0.1"))
    assert {row["BilledCost"], row["ContractedCost"], row["EffectiveCost"], row["ContractedUnitPrice"]} == {
        Decimal("0.0875")
    }


@given(st.lists(st.integers(0, 10**9), min_size=6, max_size=6), st.decimals(0, 10**6, places=9))
def test_engine_seconds_and_requests_add_up_over_the_charges(tokens: list[int], seconds: Decimal) -> None:
    named: dict[str, Any] = dict(zip((segment.value for segment in Segment), tokens, strict=True))
    found = charges(requests(count=3, **named), seconds=str(seconds))
    expected = (seconds, 3) if any(tokens) else (0, 0)
    assert (exact_sum(row["x_EngineSeconds"] for row in found), sum(row["x_RequestCount"] for row in found)) == expected


def test_tokens_without_a_price_cost_nothing_and_say_so() -> None:
    key = ChargeKey("acme", HOUR, "search", None, "mystery", Mode.ON)
    [row] = charges(requests(model="mystery", think=7), key=key)
    assert (row["BilledCost"], row["x_UnpricedTokens"], row["x_PriceSource"]) == (0, 7, None)
    assert "no price in force" in row["ChargeDescription"]


def test_savings_are_in_our_own_columns_alone() -> None:
    [with_savings] = charges(requests(task="humaneval", think=1_000_000))
    [without] = charges(requests(task="humaneval", think=1_000_000), method=None)
    assert (with_savings["x_Savings"], with_savings["x_TokenBasis"]) == (Decimal("0.15"), "cited")
    changed = {name for name in FOCUS_COLUMNS if with_savings[name] != without[name]}
    assert changed == {
        "x_BaselineModel",
        "x_SavingsMethod",
        "x_TokenBasis",
        "x_ComparedCost",
        "x_BaselineCost",
        "x_Savings",
    }


def test_requests_that_are_left_out_of_the_saving_are_still_billed() -> None:
    [row] = charges(requests(think=1_000_000), requests(status=Status.ABORTED, think=1_000_000))
    assert (row["BilledCost"], row["x_ComparedCost"]) == (Decimal("0.2"), Decimal("0.1"))


def test_a_baseline_needs_the_same_prompt_whatever_the_ratio() -> None:
    prompt, think = charges(requests(task="humaneval", prompt=1_000_000, think=1_000_000))
    assert (prompt["x_Savings"], think["x_Savings"]) == (0, Decimal("0.15"))


def test_a_charge_names_tenant_project_key_and_invoice() -> None:
    [row] = charges(requests(think=1))
    assert (row["BillingAccountId"], row["BillingAccountName"], row["SubAccountId"], row["InvoiceId"]) == (
        "acme", "Acme Corp", "search", "KAT-000007")  # fmt: skip
    assert orjson.loads(row["Tags"]) == {"kat/api-key-id": KEY.api_key_id}


def test_the_id_of_a_price_changes_with_the_price() -> None:
    first, later = default_prices()[0], datetime(2026, 11, 24, 12, tzinfo=UTC)
    changed = first.model_copy(update={"effective_from": later, "per_million": first.per_million * 2})
    tokens: dict[str, Any] = {first.segment.value: 1}
    key = ChargeKey("acme", HOUR, "search", None, first.model, Mode.ON)
    ids = [
        charges(requests(model=first.model, **tokens), key=key, method=None, prices=PriceBook([price]))[0]["SkuPriceId"]
        for price in (first, changed)
    ]
    assert ids[0] != ids[1]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal(5), "5.0"),
        (Decimal("1E+3"), "1000.0"),
        (Decimal("0.0000004"), "0.0000004"),
        (HOUR, "2026-11-24T12:00:00Z"),
        (7, 7),
        (None, None),
    ],
)
def test_numbers_have_a_decimal_point_and_times_end_in_z(value: object, text: object) -> None:
    assert focus_text(value) == text
