"""Price files: YAML and JSON in, prices or named problems out."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from kat_metering.defaults import default_prices
from kat_metering.price_checks import problems
from kat_metering.price_files import PriceFileError, dump_prices, parse_prices, read_document

ENTRY = """
    model: KAT-V1-40B
    segment: think
    per_million: 0.12
    currency: USD
    effective_from: 2026-01-01T00:00:00Z
    basis: compute
    source: GPU contract
    source_date: 2026-01-01
"""


def errors_of(text: str) -> list[tuple[int, str]]:
    with pytest.raises(PriceFileError) as refused:
        parse_prices(read_document(text, is_json=False))
    return [(problem.index, problem.field) for problem in refused.value.problems]


def test_a_fractional_price_is_read_exactly() -> None:
    [price] = parse_prices(read_document("[{" + ENTRY.strip().replace("\n", ",") + "}]", is_json=False))
    assert price.per_million == Decimal("0.12")


def test_a_json_number_with_more_digits_than_a_float_is_read_exactly() -> None:
    assert read_document("[0.123456789012345678]", is_json=True) == [Decimal("0.123456789012345678")]


def test_defaults_and_sources_fill_what_an_entry_leaves_out() -> None:
    [price] = parse_prices(
        read_document(
            """
            defaults: {currency: USD, effective_from: 2026-01-01T00:00:00Z, basis: compute}
            sources: {contract: {source: GPU contract, source_date: 2026-01-01}}
            prices: [{model: M, segment: answer, per_million: 1, from: contract}]
            """,
            is_json=False,
        )
    )
    assert (price.source, price.effective_from) == ("GPU contract", datetime(2026, 1, 1, tzinfo=UTC))


def test_what_is_dumped_is_read_back_equal() -> None:
    assert tuple(parse_prices(read_document(dump_prices(default_prices()), is_json=False))) == default_prices()


def test_a_bad_entry_is_named_by_its_index_and_field() -> None:
    bad = ENTRY.replace("0.12", "-1")
    assert errors_of(f"- {ENTRY.strip()}\n- {bad.strip()}".replace("\n    ", "\n  ")) == [(1, "per_million")]


def test_every_bad_entry_is_named_at_once() -> None:
    assert errors_of("[{model: M}, 7]")[0][0] == 0
    assert errors_of("[{model: M}, 7]")[-1][0] == 1


def test_an_unknown_source_is_named() -> None:
    assert errors_of("prices: [{model: M, from: nowhere}]") == [(0, "from")]


def test_an_overlap_within_the_file_is_named_at_the_later_entry() -> None:
    later = ENTRY.replace("2026-01-01T00", "2026-02-01T00")
    assert errors_of(f"- {later.strip()}\n- {ENTRY.strip()}".replace("\n    ", "\n  ")) == [(0, "effective_from")]


def test_two_currencies_in_one_file_are_refused() -> None:
    other = ENTRY.replace("USD", "EUR").replace("think", "answer")
    assert errors_of(f"- {ENTRY.strip()}\n- {other.strip()}".replace("\n    ", "\n  ")) == [(1, "currency")]


@pytest.mark.parametrize("text", ["7", "{}", "{prices: 3}", "prices: []\nprice: []", "prices: []\ndefaults: 3"])
def test_a_document_that_holds_no_prices_is_refused(text: str) -> None:
    assert errors_of(text) == [(0, "entry")]


@pytest.mark.parametrize(("text", "is_json"), [("[", False), ("[", True), ("a: !!python/object:x {}", False)])
def test_text_that_is_neither_yaml_nor_json_is_a_value_error(text: str, is_json: bool) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_document(text, is_json=is_json)


def test_a_gap_is_a_warning_that_says_from_when_there_is_no_price() -> None:
    first = ENTRY.rstrip() + "\n    effective_to: 2026-02-01T00:00:00Z"
    second = ENTRY.replace("2026-01-01T00", "2026-03-01T00")
    prices = parse_prices(
        read_document(f"- {first.strip()}\n- {second.strip()}".replace("\n    ", "\n  "), is_json=False)
    )
    gap = next(problem for problem in problems(prices) if problem.field == "effective_from")
    assert (gap.severity, gap.index) == ("warning", 1)
    assert "from 2026-02-01T00:00Z" in gap.message


def test_a_hole_in_the_prices_of_one_mode_is_no_gap_while_the_price_for_any_mode_holds() -> None:
    own = ENTRY.rstrip() + "\n    mode: 'on'"
    first, second = own + "\n    effective_to: 2026-02-01T00:00:00Z", own.replace("2026-01-01T00", "2026-03-01T00")
    entries = "\n".join(f"- {entry.strip()}" for entry in (ENTRY, first, second)).replace("\n    ", "\n  ")
    prices = parse_prices(read_document(entries, is_json=False))
    assert [problem.field for problem in problems(prices)] == ["segment"]


def test_a_model_without_a_price_for_some_segment_is_warned_of() -> None:
    prices = parse_prices(read_document(ENTRY, is_json=False))
    [missing] = problems(prices)
    assert "prompt, prompt_cached, judge, answer, control" in missing.message


@pytest.mark.parametrize("mode", ["on", "off", "any"])
def test_a_mode_needs_no_quotes_in_yaml(mode: str) -> None:
    [price] = parse_prices(read_document(f"- {ENTRY.strip()}\n  mode: {mode}".replace("\n    ", "\n  "), is_json=False))
    assert price.mode == mode


def test_true_and_false_stay_what_they_are_in_yaml() -> None:
    assert read_document("[true, False, on, no, trueish]", is_json=False) == [True, False, "on", "no", "trueish"]
