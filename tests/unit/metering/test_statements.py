"""Drafting statements: lines, late usage, discounts, rounding; nothing lost and nothing billed twice."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kat.usage_event import Mode, Segment
from kat_metering.errors import ConflictError
from kat_metering.money import exact_sum, less_percent
from kat_metering.periods import Window
from kat_metering.prices import PriceBook, UsageLine
from kat_metering.statement_lines import Carried, Credit, Rounding
from kat_metering.statements import Draft, Statement, canonical, draft_statement, months_to_close_first, newly_unpriced
from tests.fakes.statements import (
    APRIL,
    FEBRUARY,
    JANUARY,
    MARCH,
    Ledger,
    a_discount,
    a_price,
    an_account,
    charges,
    terms,
    used,
)

HOUR = timedelta(hours=1)


def a_closed(month: Window, *usage: UsageLine) -> Statement:
    return Ledger(events=list(usage)).close(month)


def test_tokens_that_share_month_model_mode_segment_and_price_are_one_line() -> None:
    account = an_account(used(JANUARY.start, think=2), used(JANUARY.start + HOUR, think=3))
    [line] = charges(draft_statement(account, JANUARY, terms()).draft)
    assert (line.kind, line.tokens, line.per_million) == ("usage", 5, Decimal("0.10"))


def test_thinking_answers_and_cached_prompts_have_prices_and_lines_of_their_own() -> None:
    book = [
        a_price(Segment.THINK, "0.10"),
        a_price(Segment.ANSWER, "0.30"),
        a_price(Segment.PROMPT, "0.04"),
        a_price(Segment.PROMPT_CACHED, "0.01"),
    ]
    account = an_account(used(JANUARY.start, think=1, answer=1, prompt=1, prompt_cached=1))
    lines = charges(draft_statement(account, JANUARY, terms(book)).draft)
    assert {line.segment: str(line.per_million) for line in lines} == {
        Segment.THINK: "0.10",
        Segment.ANSWER: "0.30",
        Segment.PROMPT: "0.04",
        Segment.PROMPT_CACHED: "0.01",
    }


def test_a_price_that_changes_within_the_month_parts_a_line_in_two() -> None:
    middle = JANUARY.start + 240 * HOUR
    book = [a_price(effective_to=middle), a_price(per_million="0.20", effective_from=middle)]
    account = an_account(used(middle - HOUR, think=1), used(middle, think=1))
    lines = charges(draft_statement(account, JANUARY, terms(book)).draft)
    assert [(line.tokens, str(line.per_million)) for line in lines] == [(1, "0.10"), (1, "0.20")]


def test_a_discount_is_taken_off_the_line_and_shown_on_it() -> None:
    account = an_account(used(JANUARY.start, think=1_000_000))
    [line] = charges(draft_statement(account, JANUARY, terms(discounts=[a_discount("25")])).draft)
    assert (line.list_amount, line.discount_percent, line.amount) == (
        Decimal("0.1"),
        Decimal(25),
        Decimal("0.075"),
    )


def test_a_discount_that_begins_within_the_month_parts_a_line_in_two() -> None:
    middle = JANUARY.start + 240 * HOUR
    account = an_account(used(middle - HOUR, think=1), used(middle, think=1))
    discount = a_discount(effective_from=middle)
    lines = charges(draft_statement(account, JANUARY, terms(discounts=[discount])).draft)
    assert [line.discount_percent for line in lines] == [0, 10]


def test_usage_of_a_month_that_was_closed_is_late_and_comes_after_the_months_own() -> None:
    account = an_account(used(JANUARY.start, think=1), used(FEBRUARY.start, think=2), last=a_closed(JANUARY))
    lines = charges(draft_statement(account, FEBRUARY, terms()).draft)
    assert [(line.kind, line.month, line.tokens) for line in lines] == [
        ("usage", "2026-02", 2),
        ("late_usage", "2026-01", 1),
    ]


def test_usage_without_a_price_is_named_and_in_no_line() -> None:
    account = an_account(used(JANUARY.start, think=3), used(JANUARY.start, model="N", think=5))
    drafted = draft_statement(account, JANUARY, terms())
    assert [(each.model, each.tokens) for each in drafted.draft.unpriced] == [("N", 5)]
    assert [line.model for line in charges(drafted.draft)] == ["M"]
    assert [line.model for line in drafted.billed] == ["M"]


def test_a_price_of_zero_bills_tokens_for_nothing() -> None:
    account = an_account(used(JANUARY.start, think=3))
    drafted = draft_statement(account, JANUARY, terms([a_price(per_million="0")]))
    assert drafted.draft.unpriced == ()
    assert [line.amount for line in charges(drafted.draft)] == [Decimal(0)]


def test_less_usage_than_was_billed_is_refused() -> None:
    account = an_account(used(JANUARY.start, think=-1), used(FEBRUARY.start, think=9))
    with pytest.raises(ConflictError, match="Less usage of M is known in 2026-01"):
        draft_statement(account, FEBRUARY, terms())


@pytest.mark.parametrize(
    ("currency", "tokens", "total", "rounding"),
    [
        ("USD", 50_000, "0.01", "0.005"),
        ("USD", 49_999, "0.00", "-0.0049999"),
        ("USD", 100_000, "0.01", None),
        ("JPY", 4_999_999, "0", "-0.4999999"),
        ("KWD", 14_000, "0.001", "-0.0004"),
    ],
)
def test_the_total_is_in_whole_minor_units_of_the_currency(
    currency: str, tokens: int, total: str, rounding: str | None
) -> None:
    book = [a_price(currency=currency)]
    draft = draft_statement(
        an_account(used(JANUARY.start, think=tokens)), JANUARY, terms(book, currency=currency)
    ).draft
    found = [str(line.amount) for line in draft.lines if isinstance(line, Rounding)]
    assert (str(draft.total), [Decimal(each) for each in found]) == (total, [Decimal(rounding)] if rounding else [])


def test_credits_and_the_rounding_of_the_statement_before_are_lines() -> None:
    credit = Credit(adjustment=UUID(int=1), corrects="KAT-000001", reason="slow", amount=Decimal("-0.04"))
    last = a_closed(JANUARY, used(JANUARY.start, think=40_000))
    account = an_account(used(FEBRUARY.start, think=1_000_000), credits=[credit], last=last)
    draft = draft_statement(account, FEBRUARY, terms()).draft
    carried = Carried(statement="KAT-000001", amount=Decimal("0.004"))
    assert (draft.lines[1:3], draft.total) == ((credit, carried), Decimal("0.06"))


def test_what_the_last_statement_stated_without_a_price_is_not_newly_unpriced() -> None:
    nameless = used(JANUARY.start, model="N", think=5)
    last = a_closed(JANUARY, nameless)
    grown = used(JANUARY.start, model="N", think=6)
    other = used(FEBRUARY.start, model="N", think=1)
    for usage, places in (([nameless], []), ([grown], [0]), ([nameless, other], [1])):
        draft = draft_statement(an_account(*usage, last=last), FEBRUARY, terms()).draft
        assert [place for place, _ in newly_unpriced(draft, last)] == places


def test_earlier_months_that_were_never_closed_are_to_be_closed_first() -> None:
    usage = [used(each.start, think=1) for each in (JANUARY, FEBRUARY, MARCH)]
    assert months_to_close_first(an_account(*usage), "2026-03") == ["2026-01", "2026-02"]
    assert months_to_close_first(an_account(*usage, last=a_closed(JANUARY)), "2026-03") == ["2026-02"]


def test_the_canonical_document_reads_back_to_the_same_statement_and_the_same_bytes() -> None:
    ledger = Ledger(events=[used(JANUARY.start, think=33_333, answer=7)])
    statement = ledger.close(JANUARY)
    again = type(statement).model_validate_json(canonical(statement))
    assert (again, canonical(again)) == (statement, canonical(statement))


MONTHS = (JANUARY, FEBRUARY, MARCH)
TERMS = terms(
    [
        *(a_price(segment, "0.123456789") for segment in Segment if segment is not Segment.ANSWER),
        a_price(Segment.ANSWER, "0.3", effective_to=FEBRUARY.start),
        a_price(Segment.ANSWER, "0.7", effective_from=FEBRUARY.start),
        a_price(Segment.ANSWER, "0.9", mode="on", effective_from=MARCH.start),
    ],
    [a_discount("12.5", segment=Segment.THINK), a_discount("3.000001", effective_from=FEBRUARY.start)],
)
usage_lines = st.builds(
    UsageLine,
    st.just("M"),
    st.sampled_from(Mode),
    st.integers(0, 24 * 59).map(lambda hours: JANUARY.start + hours * HOUR),
    st.dictionaries(st.sampled_from(Segment), st.integers(0, 10**7), min_size=1),
)
rounds = st.lists(st.lists(usage_lines, max_size=6), min_size=len(MONTHS) + 1, max_size=len(MONTHS) + 1)


def valuation(events: list[UsageLine]) -> Decimal:
    """What events cost by price and discount of their hour, one by one."""
    return exact_sum(
        less_percent(line.cost, TERMS.discounts.percent(line.usage.model, line.segment, line.usage.hour))
        for line in TERMS.prices.rate(events).lines
    )


def exact_total(draft: Draft) -> Decimal:
    return exact_sum(line.amount for line in draft.lines if not isinstance(line, Rounding))


@settings(deadline=None, max_examples=60)
@given(rounds)
def test_closed_statements_and_the_open_draft_are_the_valuation_of_all_usage(arrivals: list[list[UsageLine]]) -> None:
    """Whatever arrives before or after whichever close, as long as it was used before April."""
    ledger = Ledger(terms=TERMS)
    for month, arriving in zip(MONTHS, arrivals, strict=False):
        ledger.events += arriving
        ledger.close(month)
    ledger.events += arrivals[-1]
    stated = exact_sum(each.total for each in ledger.closed) + exact_total(ledger.draft(APRIL).draft)
    assert stated == valuation(ledger.events)


@settings(deadline=None, max_examples=40)
@given(rounds)
def test_lines_add_up_to_the_total_to_the_last_digit(arrivals: list[list[UsageLine]]) -> None:
    ledger = Ledger(terms=TERMS)
    for month, arriving in zip(MONTHS, arrivals, strict=False):
        ledger.events += arriving
        statement = ledger.close(month)
        assert exact_sum(line.amount for line in statement.lines) == statement.total


@settings(deadline=None, max_examples=40)
@given(st.lists(usage_lines, max_size=8), st.integers(0, 8))
def test_a_month_billed_in_two_halves_costs_what_it_costs_at_once(events: list[UsageLine], cut: int) -> None:
    together = draft_statement(an_account(*events), Window(JANUARY.start, MARCH.end), TERMS).draft
    halves = [
        draft_statement(an_account(*half), Window(JANUARY.start, MARCH.end), TERMS).draft
        for half in (events[:cut], events[cut:])
    ]
    assert exact_sum(map(exact_total, halves)) == exact_total(together)


def test_an_open_book_without_prices_leaves_everything_unpriced() -> None:
    drafted = draft_statement(an_account(used(JANUARY.start, think=1)), JANUARY, terms([]))
    assert not drafted.draft.lines
    assert not drafted.draft.total
    assert not drafted.billed
    assert PriceBook([]).currency is None
