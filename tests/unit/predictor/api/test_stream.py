"""Streams: the same completion as the whole response, in OpenAI's pieces."""

from typing import Any

import orjson
import pytest

from tests.fakes.engine import Reply, ScriptedEngine
from tests.fakes.predictor import MODEL, Predictor, chunks_of
from tests.unit.predictor.api.conftest import MakePredictor

ON = "This is hard.\n</judge>\n\n<think_on>\n<think>\nLet me see.\n</think>\n\n<answer>\nForty-two, I say.\n</answer>"
OFF = "This is easy.\n</judge>\n\n<think_off>\n<answer>\nHello!\n</answer>"
CALLS = (
    "Easy.\n</judge>\n\n<think_off>\n<answer>\nI look.\n"
    '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>\n'
    '<tool_call>\n{"name": "time", "arguments": {}}\n</tool_call>\n</answer>'
)
TOOLS = [{"type": "function", "function": {"name": "weather"}}]


def _deltas(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]


def _joined(chunks: list[dict[str, Any]], field: str) -> str:
    return "".join(delta.get(field) or "" for delta in _deltas(chunks))


@pytest.mark.parametrize("reply", [ON, OFF])
async def test_the_deltas_join_to_the_whole_response(make_predictor: MakePredictor, reply: str) -> None:
    predictor = await make_predictor(ScriptedEngine([reply]))
    chunks = await predictor.chunks(stream_options={"include_usage": True})
    whole = (await predictor.chat()).json()
    message = whole["choices"][0]["message"]
    assert _joined(chunks, "content") == message["content"]
    assert _joined(chunks, "reasoning_content") == message["reasoning_content"]
    assert _joined(chunks, "reasoning") == message["reasoning"]
    assert chunks[-1]["usage"] == whole["usage"]
    assert chunks[-1]["kat"] == whole["kat"]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[-2:-1]] == ["stop"]


async def test_text_comes_in_many_deltas(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine([ON]))
    answers = [delta for delta in _deltas(await predictor.chunks()) if delta.get("content")]
    assert len(answers) > 3


async def test_the_role_comes_first_and_the_finish_last(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine([OFF]))
    chunks = await predictor.chunks()
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert chunks[-1]["choices"][0] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in chunks[:-1])


async def test_every_chunk_carries_the_same_identity(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine([OFF]))
    chunks = await predictor.chunks(stream_options={"include_usage": True})
    event = await predictor.event()
    assert {chunk["id"] for chunk in chunks} == {f"chatcmpl-{event.id}"}
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert {chunk["model"] for chunk in chunks} == {MODEL}
    assert {chunk["created"] for chunk in chunks} == {int(event.time.timestamp())}


async def test_the_mode_is_told_when_it_becomes_known_and_at_the_end(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine([ON]))
    chunks = await predictor.chunks()
    told = [index for index, chunk in enumerate(chunks) if "kat" in chunk]
    first_answer = next(index for index, chunk in enumerate(chunks) if chunk["choices"][0]["delta"].get("content"))
    assert [chunks[index]["kat"] for index in told] == [{"mode": "on", "mode_source": "model"}] * 2
    assert told[0] < first_answer
    assert told[1] == len(chunks) - 1


async def test_usage_comes_in_a_last_chunk_without_choices_when_asked_for(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine([OFF]))
    chunks = await predictor.chunks(stream_options={"include_usage": True})
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == predictor.engine.calls[0].tokens
    assert all(chunk["usage"] is None for chunk in chunks[:-1])


@pytest.mark.parametrize("options", [{}, {"stream_options": None}, {"stream_options": {"include_usage": False}}])
async def test_no_usage_is_sent_unasked_and_the_books_are_kept_all_the_same(
    make_predictor: MakePredictor, options: dict[str, Any]
) -> None:
    predictor = await make_predictor(ScriptedEngine([OFF]))
    chunks = await predictor.chunks(**options)
    assert all("usage" not in chunk for chunk in chunks)
    assert (await predictor.event()).data.tokens.completion == predictor.engine.calls[0].tokens


async def test_tool_calls_stream_whole_and_numbered(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine([CALLS]))
    chunks = await predictor.chunks(tools=TOOLS)
    calls = [call for delta in _deltas(chunks) for call in delta.get("tool_calls", [])]
    assert [(call["index"], call["function"]["name"]) for call in calls] == [(0, "weather"), (1, "time")]
    assert [orjson.loads(call["function"]["arguments"]) for call in calls] == [{"city": "Oslo"}, {}]
    assert len({call["id"] for call in calls}) == 2
    assert _joined(chunks, "content").strip() == "I look."
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


async def test_log_probabilities_come_with_their_text(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine([OFF]))
    chunks = await predictor.chunks(logprobs=True)
    entries = [
        entry["token"] for chunk in chunks for entry in (chunk["choices"][0]["logprobs"] or {"content": []})["content"]
    ]
    assert entries == ["Hello", "!"]


async def _stream(predictor: Predictor) -> tuple[int, str, str]:
    response = await predictor.chat(stream=True)
    return response.status_code, response.headers["content-type"], response.text


async def test_an_engine_that_fails_midway_ends_the_stream_with_an_error_object(
    make_predictor: MakePredictor,
) -> None:
    predictor = await make_predictor(ScriptedEngine([Reply(OFF, fail_after=3)]))
    status, content_type, text = await _stream(predictor)
    last = orjson.loads(text.rstrip("\n").split("\n\n")[-1].removeprefix("data: "))
    assert (status, content_type) == (200, "text/event-stream; charset=utf-8")
    assert last["error"]["code"] == "engine_failed"
    assert "[DONE]" not in text


async def test_an_engine_that_fails_at_once_is_an_answer_with_its_own_status(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine([Reply(OFF, fail_after=0)]))
    status, content_type, text = await _stream(predictor)
    assert (status, content_type) == (500, "application/json")
    assert orjson.loads(text)["error"]["code"] == "engine_failed"


async def test_a_refused_request_is_no_stream(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor()
    response = await predictor.chat(stream=True, temperature=5)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "temperature"


async def test_proxies_are_told_not_to_hold_a_stream_back(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor()
    headers = (await predictor.chat(stream=True)).headers
    assert headers["cache-control"] == "no-cache"
    assert headers["x-accel-buffering"] == "no"


async def test_a_text_completion_streams_its_text(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine(["one two three"]))
    body = {"model": MODEL, "prompt": "zero", "stream": True, "stream_options": {"include_usage": True}, "logprobs": 1}
    chunks = chunks_of((await predictor.client.post("/v1/completions", json=body)).text)
    choices = [chunk["choices"][0] for chunk in chunks if chunk["choices"]]
    assert "".join(choice["text"] for choice in choices) == "one two three"
    assert choices[-1]["finish_reason"] == "stop"
    assert chunks[-1]["usage"]["completion_tokens"] == 6
    assert {chunk["object"] for chunk in chunks} == {"text_completion"}
    offsets = [offset for choice in choices for offset in (choice["logprobs"] or {"text_offset": []})["text_offset"]]
    assert offsets == [0, 3, 4, 7, 8]
