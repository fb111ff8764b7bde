"""Re-rating, comparing price books, and what closed months forbid."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kat.usage_event import Mode, Segment
from kat_metering.price_changes import price_change
from kat_metering.price_checks import problems
from kat_metering.price_diff import changes_of_closed_months, differences
from kat_metering.price_files import PriceFileError
from kat_metering.price_rerating import rerated
from kat_metering.prices import Price, PriceBook
from tests.fakes.statements import FEBRUARY, JANUARY, MARCH, a_price

DAY = timedelta(days=1)


def span(start: Any, end: Any = None, per_million: str = "1", **changed: Any) -> Price:
    return a_price(per_million=per_million, effective_from=start, effective_to=end, **changed)


def terms_of(book: list[Price]) -> list[tuple[Any, Any, str]]:
    return [
        (each.effective_from, each.effective_to, str(each.per_million))
        for each in sorted(book, key=lambda each: each.effective_from)
    ]


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (
            span(FEBRUARY.start, FEBRUARY.end, "2"),
            [
                (JANUARY.start, FEBRUARY.start, "1"),
                (FEBRUARY.start, FEBRUARY.end, "2"),
                (MARCH.start, None, "1"),
            ],
        ),
        (span(FEBRUARY.start, None, "2"), [(JANUARY.start, FEBRUARY.start, "1"), (FEBRUARY.start, None, "2")]),
        (span(JANUARY.start, None, "2"), [(JANUARY.start, None, "2")]),
        (
            span(JANUARY.start - DAY, JANUARY.start, "2"),
            [(JANUARY.start - DAY, JANUARY.start, "2"), (JANUARY.start, None, "1")],
        ),
    ],
    ids=["within", "from within, without an end", "all of it", "beside it"],
)
def test_re_rating_puts_a_price_in_the_place_of_what_was_in_force_in_its_hours(new: Price, expected: Any) -> None:
    assert terms_of(rerated([span(JANUARY.start)], [new])) == expected


def test_re_rating_touches_no_other_model_segment_or_mode() -> None:
    others = [span(JANUARY.start, model="N"), span(JANUARY.start, mode="on"), span(JANUARY.start, segment="answer")]
    assert rerated(others, [span(JANUARY.start, None, "2")])[:3] == others


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 20), st.integers(1, 9)), min_size=1, max_size=6))
def test_after_re_rating_the_new_price_holds_in_its_hours_and_the_old_book_elsewhere(
    spans: list[tuple[int, int, int]],
) -> None:
    book = [span(JANUARY.start)]
    for start, length, per_million in spans:
        new = span(JANUARY.start + start * DAY, JANUARY.start + (start + length) * DAY, str(per_million))
        before, book = PriceBook(book), rerated(book, [new])
        assert [each for each in problems(book) if each.severity == "error"] == []
        after = PriceBook(book)
        for day in range(62):
            moment = JANUARY.start + day * DAY
            was, becomes = (each.find("M", Segment.THINK, Mode.ON, moment) for each in (before, after))
            assert was is not None
            assert becomes is not None
            assert becomes.per_million == (new if new.covers(moment) else was).per_million


def test_re_rating_with_prices_that_overlap_each_other_is_refused() -> None:
    with pytest.raises(PriceFileError, match="overlaps"):
        rerated([], [span(JANUARY.start), span(FEBRUARY.start, segment="think")])


def test_re_rating_in_another_currency_is_refused() -> None:
    with pytest.raises(PriceFileError, match="EUR beside USD"):
        rerated([span(JANUARY.start)], [span(JANUARY.start, currency="EUR")])


def test_equal_books_do_not_differ_in_whatever_order() -> None:
    book = [span(JANUARY.start), span(JANUARY.start, segment="answer")]
    assert differences(book, book[::-1]) == []


def test_books_differ_in_what_was_added_removed_and_changed() -> None:
    before = [span(JANUARY.start), span(JANUARY.start, segment="judge")]
    after = [span(JANUARY.start, FEBRUARY.start), span(FEBRUARY.start, None, "2")]
    assert [(each.change, each.before and each.before.segment.value) for each in differences(before, after)] == [
        ("removed", "judge"),
        ("changed", "think"),
        ("added", None),
    ]


CURRENT = [span(JANUARY.start, MARCH.start), span(JANUARY.start, segment="answer", mode="on")]


@pytest.mark.parametrize(
    ("incoming", "refused"),
    [
        ([span(FEBRUARY.start, None, "2")], True),
        ([span(JANUARY.start - DAY, JANUARY.start + DAY, "2")], True),
        ([span(FEBRUARY.start, FEBRUARY.end, "2", mode="on")], True),
        ([span(FEBRUARY.start, FEBRUARY.end, "2", segment="answer")], False),
        ([span(FEBRUARY.start, FEBRUARY.end, "2", segment="judge")], False),
        ([span(FEBRUARY.start, FEBRUARY.end, "1")], False),
        ([span(MARCH.start, None, "2")], False),
        ([span(JANUARY.start - DAY, JANUARY.start, "2")], False),
    ],
    ids=[
        "another price",
        "into its first day",
        "a mode's own beats the common one",
        "where only other modes had one",
        "where there was none",
        "the same price",
        "after it",
        "before it",
    ],
)
def test_a_price_that_was_in_force_in_a_closed_month_stays(incoming: list[Price], *, refused: bool) -> None:
    closed = [JANUARY, FEBRUARY]
    found = changes_of_closed_months(CURRENT, rerated(CURRENT, incoming), incoming, closed)
    assert bool(found) is refused
    assert {each.index for each in found} <= {0}


def test_an_import_that_ends_an_open_price_within_a_closed_month_is_found() -> None:
    current, new = [span(JANUARY.start)], [span(JANUARY.start + DAY, None, "2")]
    change = price_change(current, new, now=JANUARY.start)
    [problem] = changes_of_closed_months(current, [*change.ended, *change.added], new, [JANUARY])
    assert problem.message == "would change a price in 2026-01, of which statements are closed"


def test_a_negative_price_is_none() -> None:
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        span(JANUARY.start, None, str(Decimal(-1)))
