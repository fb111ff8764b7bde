"""Discounts: which one holds, and which ones can be added."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from kat.usage_event import Segment
from kat_metering.discounts import DiscountBook, DiscountsRefused, discount_change
from tests.fakes.statements import FEBRUARY, JANUARY, MARCH, a_discount

NOON = JANUARY.start + timedelta(hours=12)
THINK = Segment.THINK


@pytest.mark.parametrize(
    ("scopes", "percent"),
    [
        ([], 0),
        ([{}], 1),
        ([{}, {"segment": THINK}], 2),
        ([{}, {"segment": THINK}, {"model": "M"}], 3),
        ([{}, {"segment": THINK}, {"model": "M"}, {"model": "M", "segment": THINK}], 4),
        ([{}, {"segment": Segment.ANSWER}, {"model": "N"}], 1),
    ],
    ids=["none", "for everything", "for the segment", "for the model", "for both", "for others"],
)
def test_the_most_specific_discount_holds_and_they_do_not_add_up(scopes: list[dict[str, Any]], percent: int) -> None:
    book = DiscountBook(a_discount(str(place), **scope) for place, scope in enumerate(scopes, 1))
    assert book.percent("M", THINK, NOON) == percent


@pytest.mark.parametrize(
    ("moment", "percent"),
    [(NOON - timedelta(hours=1), 0), (NOON, 10), (FEBRUARY.start - timedelta(hours=1), 10), (FEBRUARY.start, 0)],
)
def test_a_discount_holds_from_its_first_hour_until_before_its_end(moment: datetime, percent: int) -> None:
    book = DiscountBook([a_discount(effective_from=NOON, effective_to=FEBRUARY.start)])
    assert book.percent("M", THINK, moment) == percent


@pytest.mark.parametrize(
    "wrong",
    [
        {"percent": Decimal("100.1")},
        {"percent": Decimal(-1)},
        {"percent": Decimal("0.0000001")},
        {"effective_from": NOON + timedelta(minutes=1)},
        {"effective_to": datetime(2024, 1, 1, tzinfo=NOON.tzinfo)},
        {"reason": " "},
    ],
    ids=str,
)
def test_a_discount_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        a_discount(**wrong)


def test_an_open_discount_ends_where_a_new_one_of_its_scope_begins() -> None:
    current = [a_discount(), a_discount(model="M")]
    change = discount_change(current, [a_discount("20", effective_from=NOON)], closed_until=None)
    assert change.ended == [a_discount(effective_to=NOON)]


def test_adding_the_same_discount_twice_changes_nothing() -> None:
    change = discount_change([a_discount()], [a_discount()], closed_until=MARCH.start)
    assert (change.added, change.ended, change.unchanged) == ([], [], 1)


@pytest.mark.parametrize(
    ("current", "incoming"),
    [
        ([a_discount()], [a_discount("20")]),
        ([a_discount(effective_to=MARCH.start)], [a_discount("20", effective_from=FEBRUARY.start)]),
        ([], [a_discount(effective_to=MARCH.start), a_discount("20", effective_from=FEBRUARY.start)]),
    ],
    ids=["same start", "before the end", "of each other"],
)
def test_discounts_of_one_scope_that_overlap_are_refused(current: Any, incoming: Any) -> None:
    with pytest.raises(DiscountsRefused, match=r"discounts\[\d\].effective_from: overlaps"):
        discount_change(current, incoming, closed_until=None)


def test_a_discount_that_begins_in_a_closed_month_is_refused() -> None:
    with pytest.raises(DiscountsRefused, match="is in a closed month: begin at 2026-02-01"):
        discount_change([], [a_discount(effective_from=NOON)], closed_until=FEBRUARY.start)


def test_a_discount_may_begin_where_the_closed_months_end() -> None:
    new = a_discount(effective_from=FEBRUARY.start)
    assert discount_change([a_discount("5")], [new], closed_until=FEBRUARY.start).added == [new]
