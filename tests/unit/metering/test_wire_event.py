"""The quick reading of events says what the judge, Pydantic's model, says; or nothing."""

from __future__ import annotations

import json
from typing import Any, get_args, get_type_hints
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from kat.usage_event import Mode, ModeSource, Tokens, Usage, UsageEvent, new_event_id, time_of
from kat_metering.event_rows import COLUMNS, copy_rows
from kat_metering.wire_event import WireEvent, WireTokens, WireUsage, from_judged, read_plain
from tests.fakes.usage_events import a_delivery, an_event

AN_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
FIELDS = [(), ("data",), ("data", "tokens"), ("data", "labels")]
odd_texts = st.sampled_from(
    ["", " ", "a\nb", "x" * 40, "x" * 41, "x" * 80, "x" * 81, "红" * 200, "红" * 201, "\x00", "\t\\N", "on", "auto"]
) | st.text(max_size=5)
odd_numbers = st.sampled_from(
    [0, -0.0, -1, 1, 2**63 - 1, 2**63, 2**64, 10**30, 0.5, 1e-300, 1e300, True, 1.0, "1", "0.5", 1e16, 123456789.125]
) | st.floats(allow_nan=False, allow_infinity=False)  # fmt: skip
odd_ids = st.sampled_from(
    [str(UUID(int=7)), str(UUID(int=7)).upper(), UUID(int=7 << 76 | 0b10 << 62).hex, f"urn:uuid:{UUID(int=7)}", "{}", 7]
)
odd_times = st.sampled_from(
    [
        "2026-11-24",
        "2026-11-24T12:00:00",
        "2026-11-24T12:00:00Z",
        1_790_000_000,
        "1790000000",
        "24:00",
        "2026-02-30T00:00Z",
    ]
)
odd_labels = st.dictionaries(st.sampled_from(["a", "task", "", "a b", "a\n", "k" * 41, "红"]), odd_texts, max_size=9)
odd_values = st.none() | odd_texts | odd_numbers | odd_ids | odd_times | odd_labels | st.just([])


@st.composite
def odd_events(draw: st.DrawFn) -> dict[str, Any]:
    """A valid event of which a field or two are replaced, added or taken away."""
    event = an_event(event_id=AN_ID, labels={"task": "humaneval"}, api_key_id=AN_ID)
    for _ in range(draw(st.integers(0, 2))):
        place: Any = event
        for step in draw(st.sampled_from(FIELDS)):
            place = place.get(step, {}) if isinstance(place, dict) else {}
        if not isinstance(place, dict):
            continue
        field = draw(st.sampled_from([*sorted(place), "extra"]))
        if draw(st.booleans()):
            place[field] = draw(odd_values)
        else:
            place.pop(field, None)
    return event


@given(odd_events())
def test_what_is_read_quickly_is_what_the_judge_reads(event: dict[str, Any]) -> None:
    body = json.dumps([event]).encode()
    quick = read_plain(body)
    if quick is not None:
        judged = UsageEvent.model_validate_json(body[1:-1])
        assert copy_rows(quick) == copy_rows([from_judged(judged.model_dump_json().encode())])


@given(odd_events())
def test_whatever_the_judge_accepts_can_be_written(event: dict[str, Any]) -> None:
    try:
        judged = UsageEvent.model_validate_json(json.dumps(event))
    except ValidationError:
        return
    wire = from_judged(judged.model_dump_json().encode())
    (line,) = copy_rows([wire])
    assert line.count("\n") == 1
    assert line.count("\t") == COLUMNS.count(",")
    assert (wire.id, wire.time, wire.data.tenant) == (judged.id, judged.time, judged.data.tenant)


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("source", list(ModeSource))
@pytest.mark.parametrize("status", get_args(get_type_hints(Usage)["status"]))
def test_what_a_predictor_sends_is_read_quickly(mode: Mode, source: ModeSource, status: Any) -> None:
    event_id = new_event_id()
    usage = Usage(
        tenant="acme", model="m", mode=mode, mode_source=source, tokens=Tokens(prompt=1, think=2), status=status,
        duration_ms=1.5, engine_seconds=0.25, labels={"task": "a.b/c-d_e"},
    )  # fmt: skip
    event = UsageEvent(id=event_id, source="p-0", subject="acme", time=time_of(event_id), data=usage)
    assert read_plain(b"[%s]" % event.model_dump_json().encode()) == [from_judged(event.model_dump_json().encode())]


@pytest.mark.parametrize(("mirror", "model"), [(WireTokens, Tokens), (WireUsage, Usage), (WireEvent, UsageEvent)])
def test_the_mirror_has_every_field_of_the_event(mirror: Any, model: Any) -> None:
    assert set(mirror.__struct_fields__) == set(model.model_fields)


@pytest.mark.parametrize(
    "spoil",
    [
        {"id": "8c5b2c1e-6f0a-4a63-9a0e-0d8a4f8f7a11"},
        {"subject": "another"},
        {"time": "2026-11-24T12:00:00Z"},
    ],
    ids=["no UUIDv7", "another's", "another time"],
)
def test_an_event_that_contradicts_itself_is_put_before_the_judge(spoil: dict[str, str]) -> None:
    assert read_plain(a_delivery(an_event(), {**an_event(), **spoil})) is None


def test_a_nul_is_put_before_the_judge() -> None:
    assert read_plain(a_delivery(an_event(finish_reason="a\x00b"))) is None


def test_rows_are_in_the_order_of_their_ids_and_each_is_there_once() -> None:
    events = [an_event() for _ in range(5)]
    quick = read_plain(a_delivery(*reversed(events), *events))
    assert quick is not None
    assert [UUID(line[:32]) for line in copy_rows(quick)] == [UUID(event["id"]) for event in events]
