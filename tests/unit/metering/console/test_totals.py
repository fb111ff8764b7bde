"""Adding up rows of a report loses nothing."""

from decimal import Decimal
from typing import Any

import pytest

from kat.usage_event import Segment
from kat_metering.console.totals import total_of, totals_by
from kat_metering.usage import UsageRow


def row(**changed: Any) -> UsageRow:
    tokens = {segment: place for place, segment in enumerate(Segment, 1)}
    known: dict[str, Any] = {"requests": 2, "tokens": tokens, "cost": Decimal("0.1"), "currency": "USD"}
    return UsageRow(**{**known, "unpriced_tokens": 0, "mode": "on", **changed})


def test_money_is_added_exactly() -> None:
    """A tiny cost beside a huge one is not rounded away."""
    rows = [row(cost=Decimal("1e18")), row(cost=Decimal("1e-15"))]
    assert total_of(rows).cost == Decimal("1000000000000000000.000000000000001")


@pytest.mark.parametrize(
    ("costs", "sum_of_them"), [([], 0), ([None], None), ([None, Decimal(3)], Decimal(3)), ([Decimal(0)], Decimal(0))]
)
def test_a_cost_is_unknown_only_where_nothing_has_a_price(
    costs: list[Decimal | None], sum_of_them: Decimal | None
) -> None:
    """Nothing used costs nothing; something used without any price costs nobody knows what."""
    assert total_of([row(cost=cost) for cost in costs]).cost == sum_of_them


def test_requests_are_told_apart_by_mode() -> None:
    """Requests that were refused before a mode was known are neither."""
    total = total_of([row(), row(mode="off", requests=3), row(mode="undecided", requests=5)])
    assert (total.requests, total.think_on, total.think_off) == (10, 2, 3)


def test_tokens_are_added_by_segment() -> None:
    """Generated tokens are all but the prompt's; reasoning is judging and thinking."""
    total = total_of([row(), row()])
    assert total.tokens[Segment.THINK] == 8
    assert (total.all_tokens, total.generated, total.reasoning) == (42, 36, 14)


def test_rows_are_grouped_by_a_key() -> None:
    """In the order in which the keys come."""
    groups = totals_by([row(model="b"), row(model="a"), row(model="b")], lambda each: each.model)
    assert [(name, total.requests) for name, total in groups.items()] == [("b", 4), ("a", 2)]
