"""The usage event refuses what cannot be true, and its totals follow from its segments."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from kat.usage_event import Segment, Tokens, UsageEvent, new_event_id, time_of


def event(**changes: Any) -> dict[str, Any]:
    event_id = changes.pop("id", new_event_id())
    data = {
        "tenant": "acme",
        "model": "kat",
        "mode": "on",
        "mode_source": "model",
        "tokens": {"prompt": 3, "think": 2, "answer": 1},
        "status": "ok",
        "duration_ms": 12.5,
        "engine_seconds": 0.01,
        **changes.pop("data", {}),
    }
    return {
        "id": str(event_id),
        "source": "pod-1",
        "subject": "acme",
        "time": time_of(event_id),
        "data": data,
    } | changes


def test_a_well_formed_event_survives_the_journey_through_json() -> None:
    original = UsageEvent.model_validate(event())
    assert UsageEvent.model_validate_json(original.model_dump_json()) == original


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"data": {"tokens": {"think": -1}}}, "think"),
        ({"data": {"tokens": {"think": 2**63}}}, "think"),
        ({"data": {"tokens": {"thinking": 1}}}, "thinking"),
        ({"data": {"status": "rejected"}}, "status"),
        ({"data": {"mode": "maybe"}}, "mode"),
        ({"data": {"engine_seconds": float("nan")}}, "engine_seconds"),
        ({"data": {"tenant": "a\x00b"}, "subject": "a\x00b"}, "tenant"),
        ({"data": {"labels": {str(n): "x" for n in range(9)}}}, "labels"),
        ({"data": {"labels": {"task": "x" * 81}}}, "labels"),
        ({"type": "dev.autothink.usage.v2"}, "type"),
        ({"subject": "somebody-else"}, "subject"),
        ({"time": datetime(2026, 1, 1, tzinfo=UTC)}, "time"),
        ({"time": datetime(2026, 1, 1)}, "time"),  # noqa: DTZ001 - a time without a zone is the bad input
        ({"id": UUID("7f9c24e8-3b0f-4b6e-9d3c-6f1d2e8a4b5c"), "time": datetime.now(UTC)}, "UUIDv7"),
    ],
)
def test_an_event_that_cannot_be_true_is_refused_and_the_field_named(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        UsageEvent.model_validate(event(**changes))


@given(st.fixed_dictionaries({segment.value: st.integers(0, 10**12) for segment in Segment}))
def test_prompt_and_completion_add_up_to_all_segments(counts: dict[str, int]) -> None:
    tokens = Tokens(**counts)
    assert tokens.prompt_total + tokens.completion == sum(counts.values())
    assert tokens.reasoning == counts["judge"] + counts["think"]


def test_the_time_of_an_id_is_the_moment_it_was_minted() -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    assert before <= time_of(new_event_id()) <= datetime.now(UTC)
