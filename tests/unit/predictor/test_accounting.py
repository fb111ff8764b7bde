"""One request's books: usage, metrics and event from the same numbers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from kat.usage_event import Mode, ModeSource, Segment, Status, Tokens, UsageEvent, time_of
from kat_predictor.accounting import Accounting
from kat_predictor.metrics import Metrics
from tests.fakes.clock import Clock
from tests.fakes.tenants import KEY_ID, a_caller


class Books:
    """Accounting of one request, on a registry and a clock of its own."""

    def __init__(self, **arguments: Any) -> None:
        self.registry = CollectorRegistry()
        self.clock = Clock()
        self.accounting = Accounting(
            caller=a_caller("acme"),
            model="tiny",
            source="pod-1:8080",
            metrics=Metrics(self.registry),
            monotonic=self.clock.monotonic,
            **arguments,
        )

    def close(self, status: Status = Status.OK, finish_reason: str | None = "stop") -> UsageEvent:
        event = self.accounting.close(status, finish_reason)
        assert event is not None
        return event

    def sample(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, {"model": "tiny", **labels})


@pytest.fixture
def books() -> Books:
    return Books()


def thinks_and_answers(books: Books) -> None:
    accounting, clock = books.accounting, books.clock
    accounting.start()
    accounting.prompt(tokens=100, cached=40)
    clock.advance(0.5)
    accounting.chunk(2, 0.01)
    accounting.add(Segment.JUDGE, 2)
    clock.advance(0.1)
    accounting.chunk(3, 0.02)
    accounting.add(Segment.CONTROL, 3)
    accounting.mode_is(Mode.ON, ModeSource.MODEL)
    clock.advance(0.1)
    accounting.chunk(10, 0.03)
    accounting.add(Segment.THINK, 10)
    clock.advance(1.3)
    accounting.chunk(4, 0.04)
    accounting.add(Segment.ANSWER, 4)
    clock.advance(1.0)


def test_the_event_tells_the_whole_story() -> None:
    books = Books(labels={"task": "humaneval"})
    thinks_and_answers(books)
    usage = books.close().data
    assert usage.model_dump() == {
        "tenant": "acme",
        "api_key_id": KEY_ID,
        "project": "search",
        "model": "tiny",
        "mode": "on",
        "mode_source": "model",
        "tokens": {"prompt": 60, "prompt_cached": 40, "judge": 2, "think": 10, "answer": 4, "control": 3},
        "status": "ok",
        "finish_reason": "stop",
        "ttft_ms": pytest.approx(500),
        "ttfa_ms": pytest.approx(2_000),
        "duration_ms": pytest.approx(3_000),
        "engine_seconds": pytest.approx(0.1),
        "labels": {"task": "humaneval"},
    }


def test_the_event_carries_the_id_that_was_minted_at_the_start(books: Books) -> None:
    event_id = books.accounting.id
    event = books.close()
    assert (event.id, event.time, event.source, event.subject) == (event_id, time_of(event_id), "pod-1:8080", "acme")


def test_metrics_count_the_tokens_of_the_event(books: Books) -> None:
    thinks_and_answers(books)
    tokens = books.close().data.tokens
    counted = {segment.value: books.sample("kat_tokens_total", mode="on", segment=segment.value) for segment in Segment}
    assert counted == tokens.model_dump()


def test_metrics_count_the_request_once(books: Books) -> None:
    thinks_and_answers(books)
    books.close()
    assert books.sample("kat_requests_total", mode="on", mode_source="model", status="ok") == 1


@pytest.mark.parametrize(
    ("metric", "seconds"),
    [
        ("kat_time_to_first_token_seconds", 0.5),
        ("kat_time_to_first_answer_token_seconds", 2.0),
        ("kat_request_duration_seconds", 3.0),
    ],
)
def test_metrics_observe_the_times_of_the_event(books: Books, metric: str, seconds: float) -> None:
    thinks_and_answers(books)
    books.close()
    assert books.sample(f"{metric}_sum", mode="on") == pytest.approx(seconds)
    assert books.sample(f"{metric}_count", mode="on") == 1


def test_the_time_to_the_first_token_is_observed_as_soon_as_its_mode_is_known(books: Books) -> None:
    books.accounting.start()
    books.accounting.chunk(1, 0.0)
    assert not books.sample("kat_time_to_first_token_seconds_count", mode="undecided")
    books.accounting.mode_is(Mode.OFF, ModeSource.MODEL)
    assert books.sample("kat_time_to_first_token_seconds_count", mode="off") == 1


def test_a_request_that_ends_undecided_is_observed_as_such(books: Books) -> None:
    books.accounting.start()
    books.accounting.chunk(1, 0.0)
    books.close(Status.ABORTED, None)
    assert books.sample("kat_time_to_first_token_seconds_count", mode="undecided") == 1


def test_the_latency_between_tokens_is_shared_by_the_tokens_of_a_chunk(books: Books) -> None:
    accounting = books.accounting
    accounting.chunk(1, 0.0)
    books.clock.advance(0.4)
    accounting.chunk(4, 0.0)
    assert books.sample("kat_inter_token_latency_seconds_sum", mode="undecided") == pytest.approx(0.1)
    assert books.sample("kat_inter_token_latency_seconds_count", mode="undecided") == 1


def test_a_running_request_is_in_flight_under_its_mode(books: Books) -> None:
    def in_flight() -> dict[str, float | None]:
        return {mode.value: books.sample("kat_requests_in_flight", mode=mode.value) for mode in Mode}

    books.accounting.start()
    assert in_flight() == {"on": None, "off": None, "undecided": 1}
    books.accounting.mode_is(Mode.ON, ModeSource.REQUEST)
    assert in_flight() == {"on": 1, "off": None, "undecided": 0}
    books.close()
    assert in_flight() == {"on": 0, "off": None, "undecided": 0}


@pytest.mark.parametrize("source", list(ModeSource))
def test_a_request_is_decided_as_soon_as_its_mode_is_known(books: Books, source: ModeSource) -> None:
    """Who looks at requests that ended sees a shift of modes only after the thinking is over."""
    books.accounting.start()
    assert not books.sample("kat_requests_decided_total", mode="on")
    books.accounting.mode_is(Mode.ON, source)
    assert books.sample("kat_requests_decided_total", mode="on") == 1


def test_a_request_is_decided_once(books: Books) -> None:
    books.accounting.start()
    books.accounting.mode_is(Mode.OFF, ModeSource.MODEL)
    books.accounting.mode_is(Mode.OFF, ModeSource.MODEL)
    books.close()
    assert books.sample("kat_requests_decided_total", mode="off") == 1


def test_a_request_that_ends_undecided_is_not_decided(books: Books) -> None:
    books.accounting.start()
    books.close(Status.ABORTED, None)
    assert not any(books.sample("kat_requests_decided_total", mode=mode.value) for mode in Mode)


def test_a_request_that_waits_is_not_in_flight(books: Books) -> None:
    assert books.sample("kat_requests_in_flight", mode="undecided") == 0


def test_a_request_that_left_while_it_waited_is_an_event_without_tokens(books: Books) -> None:
    usage = books.close(Status.ABORTED, None).data
    assert (usage.status, usage.tokens, usage.ttft_ms) == (Status.ABORTED, Tokens(), None)
    assert books.sample("kat_requests_in_flight", mode="undecided") == 0


def test_a_refused_request_is_counted_and_makes_no_event(books: Books) -> None:
    assert books.accounting.close(Status.REJECTED) is None
    assert books.sample("kat_requests_total", mode="undecided", mode_source="model", status="rejected") == 1


def test_an_undecided_request_says_whose_turn_it_was(books: Books) -> None:
    books.accounting.mode_source_is(ModeSource.INSTRUCTION)
    usage = books.close(Status.ERROR, None).data
    assert (usage.mode, usage.mode_source) == (Mode.UNDECIDED, ModeSource.INSTRUCTION)


def test_books_are_closed_once(books: Books) -> None:
    books.close()
    with pytest.raises(RuntimeError, match="closed once"):
        books.accounting.close(Status.ABORTED)


def test_closing_twice_counts_once(books: Books) -> None:
    books.close()
    with pytest.raises(RuntimeError):
        books.accounting.close(Status.OK)
    assert books.sample("kat_requests_total", mode="undecided", mode_source="model", status="ok") == 1


def test_books_know_whether_they_are_closed(books: Books) -> None:
    before = books.accounting.closed
    books.close()
    assert (before, books.accounting.closed) == (False, True)


def test_the_prompt_counts_once_however_often_it_is_told(books: Books) -> None:
    books.accounting.prompt(tokens=100)
    books.accounting.prompt(tokens=100, cached=64)
    tokens = books.close().data.tokens
    assert (tokens.prompt, tokens.prompt_cached) == (36, 64)


def test_no_more_than_the_prompt_is_cached(books: Books) -> None:
    """A later phase finds in the cache what an earlier one has generated; that is no part of the prompt."""
    books.accounting.prompt(tokens=10, cached=14)
    assert books.accounting.tokens == Tokens(prompt=0, prompt_cached=10)


def test_labels_that_the_event_would_refuse_are_refused_at_the_start() -> None:
    with pytest.raises(ValidationError):
        Books(labels={f"l{number}": "x" for number in range(9)})


@given(
    st.lists(
        st.tuples(st.sampled_from([Segment.JUDGE, Segment.THINK, Segment.ANSWER, Segment.CONTROL]), st.integers(0, 9)),
        max_size=30,
    ),
    st.integers(0, 30),
)
def test_completion_tokens_are_those_that_the_engine_counted(steps: list[tuple[Segment, int]], cut: int) -> None:
    """Also where a request was cut off before all its tokens had found a segment."""
    accounting = Books().accounting
    for number, (segment, tokens) in enumerate(steps):
        accounting.chunk(tokens, 0.0)
        if number < cut:
            accounting.add(segment, tokens)
    event = accounting.close(Status.ABORTED)
    assert event is not None
    assert event.data.tokens.completion == sum(tokens for _, tokens in steps)
