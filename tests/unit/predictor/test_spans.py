"""What of a request its span tells, by table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from kat.usage_event import Mode, ModeAsked, ModeSource, Status, Tokens, Usage, UsageEvent, time_of
from kat_predictor.autothink.mode import ModeRequest
from kat_predictor.chat_template import Message
from kat_predictor.job import ChatPrompt, Job
from kat_predictor.request_trace import CompletionTrace, RequestTrace
from kat_predictor.spans import span_end, span_start
from tests.fakes.tenants import a_caller

EVENT_ID = UUID("01890000-0000-7000-8000-00000000000a")
SECRET = "the prompt of a patient"
SECOND = 1_000_000_000
BEGAN_NS = 1_700_000_000 * SECOND


def _trace(**changes: Any) -> RequestTrace:
    answered: dict[str, Any] = {"http_status": 200, "answered": True}
    return RequestTrace(
        operation="chat",
        id_prefix="chatcmpl-",
        path="/v1/chat/completions",
        server=("10.0.0.7", 8080),
        began=100.0,
        began_ns=BEGAN_NS,
        **(answered | changes),
    )


def _job(**changes: Any) -> Job:
    return replace(Job(prompt=ChatPrompt((Message("user", SECRET),)), stop=(SECRET,)), **changes)


def _event(**changes: Any) -> UsageEvent:
    usage = Usage(
        tenant="acme",
        project="search",
        model="kat",
        mode=Mode.ON,
        mode_source=ModeSource.MODEL,
        tokens=Tokens(prompt=60, prompt_cached=40, judge=5, think=20, answer=10, control=4),
        status=Status.OK,
        finish_reason="stop",
        ttft_ms=250,
        ttfa_ms=1_500,
        duration_ms=2_000,
        engine_seconds=0.75,
    ).model_copy(update=changes)
    return UsageEvent(id=EVENT_ID, source="pod-1:8080", subject="acme", time=time_of(EVENT_ID), data=usage)


def _completion(**changes: Any) -> CompletionTrace:
    ended: dict[str, Any] = {"status": Status.OK, "event": _event()}
    return CompletionTrace(
        _job(), a_caller("acme"), "kat", id=EVENT_ID, opened=101.0, **({"admitted": 101.125} | ended | changes)
    )


def test_a_span_is_named_for_its_operation_and_model() -> None:
    assert span_start(_trace(), _completion()).name == "chat kat"


def test_a_request_refused_before_it_was_understood_is_named_for_its_operation_alone() -> None:
    assert span_start(_trace(), None).name == "chat"


def test_samplers_see_operation_provider_model_and_server() -> None:
    assert span_start(_trace(), _completion()).attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "kat-serving",
        "gen_ai.request.model": "kat",
        "server.address": "10.0.0.7",
        "server.port": 8080,
        "http.request.method": "POST",
        "url.path": "/v1/chat/completions",
    }


def test_the_conventions_usage_is_that_of_the_event() -> None:
    attributes = span_end(_trace(), _completion()).attributes
    assert {name: value for name, value in attributes.items() if name.startswith("gen_ai.")} == {
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.cache_read.input_tokens": 40,
        "gen_ai.usage.output_tokens": 39,
        "gen_ai.usage.reasoning.output_tokens": 25,
        "gen_ai.response.id": f"chatcmpl-{EVENT_ID}",
        "gen_ai.response.model": "kat",
        "gen_ai.response.finish_reasons": ("stop",),
    }


def test_segments_mode_and_times_are_attributes_of_ours() -> None:
    attributes = span_end(_trace(), _completion()).attributes
    assert {name: value for name, value in attributes.items() if name.startswith("kat.")} == {
        "kat.tokens.prompt": 60,
        "kat.tokens.prompt_cached": 40,
        "kat.tokens.judge": 5,
        "kat.tokens.think": 20,
        "kat.tokens.answer": 10,
        "kat.tokens.control": 4,
        "kat.mode": "on",
        "kat.mode_source": "model",
        "kat.mode_asked": "auto",
        "kat.tenant": "acme",
        "kat.project": "search",
        "kat.status": "ok",
        "kat.ttft": 0.25,
        "kat.ttfa": 1.5,
        "kat.engine_time": 0.75,
        "kat.queue_time": 0.125,
        "kat.usage_event.id": str(EVENT_ID),
    }


@pytest.mark.parametrize(
    ("asked", "attribute"),
    [
        ({"max_tokens": 7}, ("gen_ai.request.max_tokens", 7)),
        ({"temperature": 0.0}, ("gen_ai.request.temperature", 0.0)),
        ({"top_p": 0.5}, ("gen_ai.request.top_p", 0.5)),
        ({"seed": 3}, ("gen_ai.request.seed", 3)),
        ({"json_schema": "{}"}, ("gen_ai.output.type", "json")),
        ({"mode": ModeRequest(asked=ModeAsked.ON, think_budget=64)}, ("kat.mode_asked", "on")),
        ({"mode": ModeRequest(asked=ModeAsked.ON, think_budget=64)}, ("kat.think_budget", 64)),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_parameter_that_was_asked_for_is_an_attribute(asked: dict[str, Any], attribute: tuple[str, object]) -> None:
    completion = _completion()
    completion.job = _job(**asked)
    assert attribute in span_end(_trace(), completion).attributes.items()


def test_a_streamed_response_is_marked() -> None:
    assert span_end(_trace(streams=True), _completion()).attributes["gen_ai.request.stream"] is True


@pytest.mark.parametrize(
    ("trace", "completion", "error"),
    [
        ({}, {"status": Status.OK}, None),
        ({}, {"status": Status.LENGTH}, None),
        ({"answered": False}, {"status": Status.ABORTED}, "aborted"),
        ({"error": "engine_failed"}, {"status": Status.ERROR}, "engine_failed"),
        ({}, {"status": Status.ERROR}, "_OTHER"),
        ({"error": "rate_limit_exceeded"}, {"status": Status.REJECTED, "event": None}, "rate_limit_exceeded"),
        ({"error": "context_length_exceeded"}, {"status": None, "event": None}, "context_length_exceeded"),
        ({"error": "invalid_api_key"}, None, "invalid_api_key"),
        ({"error": "overloaded"}, {"status": Status.ABORTED}, "aborted"),
        ({"answered": False}, {"status": None, "event": None}, "aborted"),
        ({"answered": False}, None, "aborted"),
    ],
    ids=[
        "a good end",
        "cut at max_tokens",
        "client left",
        "engine failed",
        "failed and nobody said why",
        "refused at the door",
        "never got to the books",
        "never understood",
        "given up, because a neighbour in the same KServe request was refused",
        "left before the books were closed",
        "left before it was understood",
    ],
)
def test_a_span_fails_with_the_kind_of_error(
    trace: dict[str, Any], completion: dict[str, Any] | None, error: str | None
) -> None:
    end = span_end(_trace(**trace), None if completion is None else _completion(**completion))
    assert (end.failed, end.attributes.get("error.type")) == (error is not None, error)


def test_what_happened_on_the_way_is_told_in_its_order_at_its_time() -> None:
    assert span_end(_trace(), _completion(mode_known=101.5)).events == (
        ("kat.admitted", BEGAN_NS + 1_125_000_000),
        ("kat.first_token", BEGAN_NS + 1_250_000_000),
        ("kat.mode_known", BEGAN_NS + 1_500_000_000),
        ("kat.answer_begun", BEGAN_NS + 2_500_000_000),
    )


def test_what_never_happened_is_not_told() -> None:
    end = span_end(_trace(error="overloaded"), _completion(status=Status.REJECTED, event=None, admitted=None))
    assert end.events == ()
    assert "kat.queue_time" not in end.attributes


def test_no_text_of_the_request_is_in_a_span() -> None:
    completion = _completion()
    assert SECRET not in repr((span_start(_trace(), completion), span_end(_trace(), completion)))
