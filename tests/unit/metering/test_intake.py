"""What of a delivery is taken in. The rest of the behaviour is tested over HTTP, where it ends in the database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kat_metering.errors import BadRequestError
from kat_metering.intake import Bounds, Intake, read_delivery
from tests.fakes.usage_events import a_delivery, an_event

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
BOUNDS = Bounds(max_age=timedelta(days=400), max_ahead=timedelta(hours=24))

names = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=200)
counts = st.integers(0, 10**9)
milliseconds = st.none() | st.floats(0, 10**6)
events = st.builds(
    an_event,
    at=st.integers(0, 86_400_000 * 350).map(lambda milliseconds: NOW - timedelta(milliseconds=milliseconds)),
    tenant=names,
    project=names,
    model=names,
    mode=st.sampled_from(["on", "off", "undecided"]),
    mode_source=st.sampled_from(["model", "instruction", "request", "budget"]),
    status=st.sampled_from(["ok", "length", "aborted", "error"]),
    tokens=st.fixed_dictionaries({"prompt": counts, "think": counts}, optional={"answer": counts, "control": counts}),
    ttft_ms=milliseconds,
    engine_seconds=st.floats(0, 10**5),
    labels=st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text("aä红", max_size=20), max_size=8),
)
not_events = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("idtime", max_size=4), inner, max_size=3),
    max_leaves=6,
)
not_arrays = not_events.filter(lambda value: not isinstance(value, list)).map(orjson.dumps)


def read(body: bytes) -> Intake:
    return read_delivery(body, now=NOW, bounds=BOUNDS)


@given(st.lists(events, min_size=1, max_size=5), not_events)
def test_good_events_are_read_alike_with_and_without_a_bad_one_beside_them(
    good: list[dict[str, Any]], bad: object
) -> None:
    alone, beside = read(a_delivery(*good)), read(a_delivery(bad, *good))
    assert [event for _, event in alone.events] == [event for _, event in beside.events]
    assert [index for index, _ in beside.events] == list(range(1, len(good) + 1))
    assert [rejection.index for rejection in beside.rejections] == [0]


@given(st.lists(events | not_events, min_size=1, max_size=8))
def test_every_item_is_either_taken_in_or_rejected(items: list[Any]) -> None:
    intake = read(a_delivery(*items))
    places = [index for index, _ in intake.events] + [rejection.index for rejection in intake.rejections]
    assert sorted(places) == list(range(len(items)))


@given(not_events)
def test_a_rejected_item_is_kept_as_it_was_sent_and_can_be_stored(item: object) -> None:
    (rejection,) = read(a_delivery(item)).rejections
    assert orjson.loads(rejection.body) == item
    for text in (rejection.body, rejection.reason, rejection.id or ""):
        assert "\x00" not in text
        text.encode()


@given(st.binary(max_size=200).filter(lambda body: not body.strip().startswith(b"[")) | not_arrays)
def test_whatever_is_no_array_is_a_clear_error(body: bytes) -> None:
    with pytest.raises(BadRequestError, match="The body"):
        read(body)


@pytest.mark.parametrize(
    ("at", "taken"),
    [
        (NOW + timedelta(hours=24), True),
        (NOW + timedelta(hours=24, milliseconds=1), False),
        (NOW - timedelta(days=400), True),
        (NOW - timedelta(days=400, milliseconds=1), False),
    ],
    ids=["24 hours ahead", "just more", "400 days old", "just older"],
)
def test_times_are_taken_up_to_their_bounds(at: datetime, taken: bool) -> None:
    intake = read(a_delivery(an_event(at=at)))
    assert (len(intake.events), len(intake.rejections)) == (int(taken), int(not taken))


def test_nothing_from_before_2025_is_taken_however_old_events_may_be() -> None:
    bounds = Bounds(max_age=timedelta(days=36_500), max_ahead=timedelta(0))
    first = datetime(2025, 1, 1, tzinfo=UTC)
    body = a_delivery(an_event(at=first), an_event(at=first - timedelta(milliseconds=1)))
    intake = read_delivery(body, now=NOW, bounds=bounds)
    assert [index for index, _ in intake.events] == [0]


def test_a_reason_names_the_first_wrong_fields_and_counts_the_others() -> None:
    event = an_event(mode="auto", status="rejected", duration_ms=-1, engine_seconds="x", model="", project="")
    (rejection,) = read(a_delivery(event)).rejections
    assert rejection.reason.startswith("data.")
    assert "data.mode: " in rejection.reason
    assert rejection.reason.endswith("and 1 more")
