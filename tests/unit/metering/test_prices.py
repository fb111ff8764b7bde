"""Rating: exact, by the hour, with the price of the mode first, and never free for want of a price."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from kat.usage_event import Mode, Segment
from kat_metering.prices import Price, PriceBook, UsageLine

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MODEL = "KAT-V1-40B"


def a_price(**changed: Any) -> Price:
    usual: dict[str, Any] = {
        "model": MODEL,
        "segment": Segment.THINK,
        "per_million": Decimal("0.1"),
        "currency": "USD",
        "effective_from": datetime(2025, 1, 1, tzinfo=UTC),
        "basis": "compute",
        "source": "a contract",
        "source_date": date(2026, 1, 1),
    }
    return Price.model_validate(usual | changed)


def thinking(tokens: int, hour: datetime = NOON, mode: Mode = Mode.ON) -> UsageLine:
    return UsageLine(MODEL, mode, hour, {Segment.THINK: tokens})


def test_cost_is_tokens_times_the_price_of_a_million() -> None:
    assert PriceBook([a_price()]).rate([thinking(3)]).cost == Decimal("0.0000003")


def test_a_price_holds_from_its_first_hour_and_not_in_its_last() -> None:
    book = PriceBook([a_price(effective_from=NOON, effective_to=NOON + HOUR)])
    covered = [book.find(MODEL, Segment.THINK, Mode.ON, NOON + shift) is not None for shift in (-HOUR, 0 * HOUR, HOUR)]
    assert covered == [False, True, False]


def test_each_hour_is_rated_at_the_price_in_force_in_it() -> None:
    book = PriceBook([a_price(per_million=1, effective_to=NOON), a_price(per_million=2, effective_from=NOON)])
    assert book.rate([thinking(1_000_000, NOON - HOUR), thinking(1_000_000, NOON)]).cost == 3


def test_the_price_of_the_mode_beats_the_price_of_any_mode() -> None:
    book = PriceBook([a_price(per_million=1), a_price(per_million=5, mode="on")])
    costs = [book.rate([thinking(1_000_000, mode=mode)]).cost for mode in (Mode.ON, Mode.OFF, Mode.UNDECIDED)]
    assert costs == [5, 1, 1]


def test_where_the_price_of_the_mode_has_ended_the_price_of_any_mode_holds() -> None:
    book = PriceBook([a_price(per_million=1), a_price(per_million=5, mode="on", effective_to=NOON)])
    assert book.rate([thinking(1_000_000)]).cost == 1


def test_usage_in_a_price_gap_is_unpriced_and_not_free() -> None:
    book = PriceBook([a_price(effective_to=NOON - HOUR), a_price(effective_from=NOON + HOUR)])
    rated = book.rate([thinking(7)])
    assert (rated.unpriced, rated.unpriced_tokens, rated.cost_or_none) == ({Segment.THINK: 7}, 7, None)


def test_partly_priced_usage_has_the_cost_of_its_priced_part() -> None:
    usage = UsageLine(MODEL, Mode.ON, NOON, {Segment.THINK: 10, Segment.ANSWER: 4})
    rated = PriceBook([a_price()]).rate([usage])
    assert (rated.cost_or_none, rated.unpriced) == (Decimal("0.000001"), {Segment.ANSWER: 4})


def test_no_usage_costs_nothing_whether_priced_or_not() -> None:
    assert PriceBook([]).rate([thinking(0)]).cost_or_none == 0


def test_a_price_of_zero_is_a_price() -> None:
    assert PriceBook([a_price(per_million=0)]).rate([thinking(9)]).cost_or_none == 0


def test_a_book_in_two_currencies_is_refused() -> None:
    with pytest.raises(ValueError, match="EUR, USD"):
        PriceBook([a_price(), a_price(currency="EUR", segment=Segment.ANSWER)])


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"per_million": -1}, "per_million"),
        ({"per_million": "NaN"}, "per_million"),
        ({"per_million": "0.0000000001"}, "per_million"),
        ({"currency": "usd"}, "currency"),
        ({"effective_from": NOON + timedelta(minutes=30)}, "effective_from"),
        ({"effective_from": "2026-11-24T12:00:00+05:30"}, "effective_from"),
        ({"effective_from": "2026-11-24T12:00:00"}, "effective_from"),
        ({"source": " "}, "source"),
        ({"segment": "thoughts"}, "segment"),
        ({"mode": "auto"}, "mode"),
        ({"effective_from": NOON, "effective_to": NOON}, ""),
    ],
)
def test_an_impossible_price_is_refused_by_the_name_of_its_field(changed: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        a_price(**changed)
    assert ".".join(map(str, refused.value.errors()[0]["loc"])) == field


def test_boundaries_are_the_hours_at_which_any_price_changes() -> None:
    book = PriceBook([a_price(effective_from=NOON, effective_to=NOON + HOUR), a_price(effective_from=NOON + 2 * HOUR)])
    assert book.boundaries == [NOON, NOON + HOUR, NOON + 2 * HOUR]


PER_MILLION = st.decimals(min_value=0, max_value=1_000, places=9)


@st.composite
def books(draw: st.DrawFn) -> PriceBook:
    """Prices that change at some hours of a day, with gaps, for one or for any mode."""
    prices = []
    for segment in (Segment.THINK, Segment.ANSWER):
        for mode in ("any", "on"):
            edges = sorted(draw(st.sets(st.integers(0, 24), max_size=6)))
            prices += [
                a_price(
                    segment=segment,
                    mode=mode,
                    per_million=draw(PER_MILLION),
                    effective_from=NOON + start * HOUR,
                    effective_to=NOON + end * HOUR,
                )
                for start, end in zip(edges[::2], edges[1::2], strict=False)
            ]
    return PriceBook(prices)


USAGE = st.builds(
    UsageLine,
    model=st.just(MODEL),
    mode=st.sampled_from(Mode),
    hour=st.integers(0, 24).map(lambda hours: NOON + hours * HOUR),
    tokens=st.fixed_dictionaries({Segment.THINK: st.integers(0, 10**9), Segment.ANSWER: st.integers(0, 10**9)}),
)


@given(books(), st.lists(USAGE, max_size=20), st.data())
def test_the_parts_of_any_split_cost_what_the_whole_costs(
    book: PriceBook, usage: list[UsageLine], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(usage)))
    whole, parts = book.rate(usage), (book.rate(usage[:cut]), book.rate(usage[cut:]))
    assert whole.cost == parts[0].cost + parts[1].cost
    assert whole.unpriced_tokens == parts[0].unpriced_tokens + parts[1].unpriced_tokens


@given(books(), USAGE, st.data())
def test_splitting_the_tokens_of_an_hour_into_batches_changes_nothing(
    book: PriceBook, usage: UsageLine, data: st.DataObject
) -> None:
    first = {segment: data.draw(st.integers(0, tokens)) for segment, tokens in usage.tokens.items()}
    second = {segment: tokens - first[segment] for segment, tokens in usage.tokens.items()}
    batches = [UsageLine(usage.model, usage.mode, usage.hour, tokens) for tokens in (first, second)]
    assert book.rate(batches).cost == book.rate([usage]).cost


@given(books(), st.lists(USAGE, max_size=20))
def test_every_token_is_either_priced_or_unpriced(book: PriceBook, usage: list[UsageLine]) -> None:
    rated = book.rate(usage)
    priced = sum(line.tokens for line in rated.lines if line.price is not None)
    assert priced + rated.unpriced_tokens == sum(sum(line.tokens.values()) for line in usage)


@given(books(), st.sampled_from(Mode), st.integers(0, 23))
def test_between_two_boundaries_no_price_changes(book: PriceBook, mode: Mode, hours: int) -> None:
    hour = NOON + hours * HOUR
    if hour + HOUR not in book.boundaries:
        found = [book.find(MODEL, Segment.THINK, mode, moment) for moment in (hour, hour + HOUR)]
        assert found[0] == found[1]
