"""One span a request, whatever becomes of it."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.exceptions import FastAPIDeprecationWarning
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import SpanKind, StatusCode

from kat.directory import Limits, Tenant
from tests.fakes.conditions import until
from tests.fakes.engine import Reply, ScriptedEngine
from tests.fakes.predictor import KEY, MODEL, Connection
from tests.fakes.spans import MemoryTracing
from tests.unit.predictor.api.conftest import MakePredictor

# KServe answers with a class that FastAPI has deprecated.
pytestmark = pytest.mark.filterwarnings(f"ignore::{FastAPIDeprecationWarning.__module__}.FastAPIDeprecationWarning")

ON = "This is hard.\n</judge>\n\n<think_on>\n<think>\nLet me see.\n</think>\n\n<answer>\nForty-two.\n</answer>"
CHAT_PATH = "/v1/chat/completions"
CHAT: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Hello?"}]}
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED_PARENT = PARENT[:-1] + "0"


@pytest.fixture
def tracing() -> MemoryTracing:
    return MemoryTracing()


def _attributes(tracing: MemoryTracing) -> dict[str, Any]:
    return dict(tracing.span.attributes or {})


def _failure(tracing: MemoryTracing) -> tuple[object, object]:
    """How the one span failed: its status and the kind of error."""
    return tracing.span.status.status_code, _attributes(tracing).get("error.type")


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_a_completion_is_a_server_span_with_the_numbers_of_its_event(
    make_predictor: MakePredictor, tracing: MemoryTracing, stream: bool
) -> None:
    predictor = await make_predictor(ScriptedEngine([ON]), tracing=tracing)
    await predictor.chat(stream=stream)
    event, attributes = await predictor.event(), _attributes(tracing)
    assert (tracing.span.name, tracing.span.kind) == (f"chat {MODEL}", SpanKind.SERVER)
    assert tracing.span.status.status_code is StatusCode.UNSET
    assert attributes["kat.usage_event.id"] == str(event.id)
    assert {name: attributes[f"kat.tokens.{name}"] for name in event.data.tokens.model_dump()} == (
        event.data.tokens.model_dump()
    )
    assert (attributes["kat.mode"], attributes["http.response.status_code"]) == ("on", 200)
    assert attributes.get("gen_ai.request.stream", False) is stream


async def test_the_way_through_the_segments_is_told_within_the_span(
    make_predictor: MakePredictor, tracing: MemoryTracing
) -> None:
    predictor = await make_predictor(ScriptedEngine([ON]), tracing=tracing)
    await predictor.chat()
    span = tracing.span
    moments = [event.timestamp for event in span.events]
    assert [event.name for event in span.events] == [
        "kat.admitted",
        "kat.first_token",
        "kat.mode_known",
        "kat.answer_begun",
    ]
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.start_time <= min(moments) <= max(moments) <= span.end_time


async def test_the_id_in_the_span_is_that_of_the_response(
    make_predictor: MakePredictor, tracing: MemoryTracing
) -> None:
    predictor = await make_predictor(ScriptedEngine(["x"]), tracing=tracing)
    response = await predictor.client.post("/openai/v1/completions", json={"model": MODEL, "prompt": "Hi"})
    assert tracing.span.name == f"text_completion {MODEL}"
    assert _attributes(tracing)["gen_ai.response.id"] == response.json()["id"]


async def test_the_callers_trace_goes_on(make_predictor: MakePredictor, tracing: MemoryTracing) -> None:
    predictor = await make_predictor(tracing=tracing)
    headers = {"traceparent": PARENT, "tracestate": "vendor=1"}
    await predictor.client.post(CHAT_PATH, json=CHAT, headers=headers)
    span = tracing.span
    assert span.parent is not None
    assert f"{span.context.trace_id:032x}-{span.parent.span_id:016x}" == PARENT[3:-3]
    assert span.context.trace_state.to_header() == "vendor=1"


async def test_a_caller_that_does_not_sample_gets_no_span(
    make_predictor: MakePredictor, tracing: MemoryTracing
) -> None:
    predictor = await make_predictor(tracing=tracing)
    response = await predictor.client.post(CHAT_PATH, json=CHAT, headers={"traceparent": UNSAMPLED_PARENT})
    assert response.status_code == 200
    assert tracing.spans == []


async def test_a_sampler_may_leave_requests_out(make_predictor: MakePredictor) -> None:
    tracing = MemoryTracing(ParentBased(ALWAYS_OFF))
    predictor = await make_predictor(tracing=tracing)
    assert (await predictor.chat()).status_code == 200
    assert tracing.spans == []


@pytest.mark.parametrize(
    ("headers", "body", "error"),
    [
        ({"authorization": "Bearer sk-kat-unknown"}, CHAT, "invalid_api_key"),
        ({}, {**CHAT, "temperature": 5}, "invalid_request_error"),
        ({}, {**CHAT, "model": "other"}, "model_not_found"),
        ({}, {**CHAT, "max_tokens": 1_000_000}, "context_length_exceeded"),
        ({}, {**CHAT, "messages": [{"role": "user", "content": "x" * 200_000}]}, "invalid_request_error"),
    ],
    ids=["unknown key", "bad parameter", "other model", "too long for the model", "too long for the server"],
)
async def test_a_bad_request_is_a_failed_span_with_the_kind_of_error(
    make_predictor: MakePredictor,
    tracing: MemoryTracing,
    headers: dict[str, str],
    body: dict[str, Any],
    error: str,
) -> None:
    predictor = await make_predictor(tracing=tracing)
    await predictor.client.post(CHAT_PATH, json=body, headers=headers)
    assert _failure(tracing) == (StatusCode.ERROR, error)


async def test_a_tenant_over_its_limit_is_a_failed_span(make_predictor: MakePredictor, tracing: MemoryTracing) -> None:
    tenant = Tenant(id="acme", name="Acme", limits=Limits(tokens_per_minute=1))
    predictor = await make_predictor(tenant=tenant, tracing=tracing)
    await predictor.chat()
    await predictor.chat()
    refused = dict(tracing.spans[1].attributes or {})
    assert (refused["error.type"], refused["kat.status"]) == ("rate_limit_exceeded", "rejected")
    assert (refused["http.response.status_code"], refused["kat.tenant"]) == (429, "acme")
    assert "gen_ai.usage.input_tokens" not in refused


async def test_a_full_outbox_is_a_failed_span(make_predictor: MakePredictor, tracing: MemoryTracing) -> None:
    predictor = await make_predictor(tracing=tracing, max_events=1)
    await predictor.chat()
    await predictor.chat(stream=True)
    assert [dict(span.attributes or {}).get("error.type") for span in tracing.spans] == [None, "outbox_full"]


async def test_a_model_that_still_loads_is_a_failed_span(make_predictor: MakePredictor, tracing: MemoryTracing) -> None:
    predictor = await make_predictor(tracing=tracing, loaded=False)
    await predictor.chat()
    assert _failure(tracing) == (StatusCode.ERROR, "not_ready")


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_an_engine_that_fails_midway_is_a_failed_span_with_what_was_generated(
    make_predictor: MakePredictor, tracing: MemoryTracing, stream: bool
) -> None:
    predictor = await make_predictor(ScriptedEngine([Reply(ON, fail_after=4)]), tracing=tracing)
    await predictor.chat(stream=stream)
    assert _failure(tracing) == (StatusCode.ERROR, "engine_failed")
    assert _attributes(tracing)["gen_ai.usage.output_tokens"] == 4


async def test_a_failure_that_nobody_expected_is_a_failed_span(
    make_predictor: MakePredictor, tracing: MemoryTracing
) -> None:
    def fail(prompt: str) -> str:
        raise ZeroDivisionError

    predictor = await make_predictor(ScriptedEngine(fail), tracing=tracing)
    await predictor.chat()
    assert _failure(tracing) == (StatusCode.ERROR, "server_error")


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_a_client_that_leaves_is_an_aborted_span_with_what_was_generated(
    make_predictor: MakePredictor, tracing: MemoryTracing, stream: bool
) -> None:
    engine = ScriptedEngine([Reply(ON, stall_after=5)])
    predictor = await make_predictor(engine, tracing=tracing)
    connection = Connection(predictor.app, CHAT_PATH, {**CHAT, "stream": stream})
    await engine.stalled.wait()
    await connection.leave()
    assert _failure(tracing) == (StatusCode.ERROR, "aborted")
    assert _attributes(tracing)["gen_ai.usage.output_tokens"] == 5


async def test_a_client_that_leaves_the_queue_is_an_aborted_span_without_tokens(
    make_predictor: MakePredictor, tracing: MemoryTracing
) -> None:
    engine = ScriptedEngine([Reply(ON, stall_after=1)])
    predictor = await make_predictor(engine, tracing=tracing, max_concurrent_requests=1)
    running = Connection(predictor.app, CHAT_PATH, CHAT)
    await engine.stalled.wait()
    waiting = Connection(predictor.app, CHAT_PATH, CHAT)
    await until(lambda: predictor.admission.queued)
    await waiting.leave()
    assert _failure(tracing) == (StatusCode.ERROR, "aborted")
    assert _attributes(tracing)["gen_ai.usage.output_tokens"] == 0
    await running.leave()


async def test_a_server_that_cuts_a_request_leaves_an_aborted_span(
    make_predictor: MakePredictor, tracing: MemoryTracing
) -> None:
    engine = ScriptedEngine([Reply(ON, stall_after=5)])
    predictor = await make_predictor(engine, tracing=tracing)
    connection = Connection(predictor.app, CHAT_PATH, CHAT)
    await engine.stalled.wait()
    connection.task.cancel()
    await until(connection.task.done)
    assert _failure(tracing) == (StatusCode.ERROR, "aborted")


async def test_each_prompt_of_a_kserve_request_has_a_span_as_it_has_an_event(
    make_predictor: MakePredictor, tracing: MemoryTracing
) -> None:
    predictor = await make_predictor(ScriptedEngine([ON]), tracing=tracing, kserve=True)
    await predictor.client.post(f"/v1/models/{MODEL}:predict", json={"instances": ["one", "two"]})
    ids = {dict(span.attributes or {})["kat.usage_event.id"] for span in tracing.spans}
    assert ids == {str(event.id) for event in await predictor.events()}
    assert len(tracing.spans) == len(ids) == 2


async def test_kserves_v2_protocol_is_traced(make_predictor: MakePredictor, tracing: MemoryTracing) -> None:
    predictor = await make_predictor(ScriptedEngine(["x"]), tracing=tracing, kserve=True)
    tensor = {"name": "text_input", "shape": [1], "datatype": "BYTES", "data": ["one"]}
    await predictor.client.post(f"/v2/models/{MODEL}/infer", json={"inputs": [tensor]})
    assert tracing.span.name == f"chat {MODEL}"


async def test_probes_metrics_and_lists_are_no_requests(make_predictor: MakePredictor, tracing: MemoryTracing) -> None:
    predictor = await make_predictor(tracing=tracing)
    for path in ("/v2/health/ready", "/v1/models"):
        await predictor.client.get(path)
    assert tracing.spans == []


async def test_neither_texts_nor_keys_get_into_spans(make_predictor: MakePredictor, tracing: MemoryTracing) -> None:
    predictor = await make_predictor(ScriptedEngine([ON]), tracing=tracing)
    await predictor.chat("How is patient zero?", stop=["patient two"])
    await predictor.chat("How is patient zero?", temperature=5)
    told = "".join(span.to_json() for span in tracing.spans)
    assert len(tracing.spans) == 2
    assert not [text for text in ("patient", "Forty-two", "Let me see", "hard", KEY) if text in told]
