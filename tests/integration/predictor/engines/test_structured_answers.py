"""Answers in a form, by vLLM behind the real server, driven by the openai SDK."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Annotated, Any, Literal

import openai
import pytest
from pydantic import BaseModel, Field

from kat.usage_event import Mode
from tests.fakes.predictor import KEY, MODEL
from tests.integration.predictor.api.conftest import Server, running_server, wait_until

pytestmark = [
    pytest.mark.xdist_group("engines"),
    # vLLM starts processes, which takes a minute or two on a busy machine.
    pytest.mark.timeout(600),
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vllm is not installed"),
]


class Colour(BaseModel):
    """An answer with little to choose from, so that a small model comes to an end of it."""

    name: Literal["red", "green", "blue"]
    hue: Annotated[int, Field(ge=0, le=359)]
    warm: bool


QUESTION = "Which colour is the sky? Reply in JSON."
MODES: list[tuple[str, dict[str, Any]]] = [
    ("auto", {}),
    ("on", {"reasoning_effort": "high", "thinking_token_budget": 24}),
    ("off", {"reasoning_effort": "none"}),
]


@pytest.fixture(scope="module")
def server(base_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[Server, None, None]:
    command = [str(Path(sys.executable).with_name("kat")), "predictor", "serve"]
    settings = {
        "KAT_MODEL": str(base_model_path),
        "KAT_ENGINE": "vllm",
        "KAT_MAX_MODEL_LEN": "4096",
        "KAT_ENGINE_ARGS": json.dumps({"kv_cache_memory_bytes": 2**29}),
    }
    with running_server(tmp_path_factory.mktemp("structured") / "home", command, settings) as running:
        running.wait_for("/v2/health/ready", 200, patience_seconds=400)
        yield running
        running.stop()


@pytest.fixture(scope="module")
def client(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY, timeout=240, max_retries=0)


def asked(**more: Any) -> dict[str, Any]:
    return {
        "model": MODEL,
        "messages": [{"role": "user", "content": QUESTION}],
        "max_tokens": 120,
        "temperature": 0,
        **more,
    }


@pytest.mark.parametrize(("mode", "parameters"), MODES)
def test_the_sdk_parses_the_answer_into_its_model_in_every_mode(
    server: Server, client: openai.OpenAI, mode: str, parameters: dict[str, Any]
) -> None:
    completion = client.chat.completions.parse(**asked(extra_body=parameters), response_format=Colour)
    message = completion.choices[0].message
    assert isinstance(message.parsed, Colour)
    wait_until(lambda: any(completion.id.endswith(str(event.id)) for event in server.metering.events), "the event")
    (event,) = (event for event in server.metering.events if completion.id.endswith(str(event.id)))
    assert completion.usage is not None
    assert completion.usage.completion_tokens == event.data.tokens.completion
    if mode != "auto":
        assert event.data.mode is Mode(mode)
        assert bool((message.model_extra or {})["reasoning"]) == (mode == "on")


@pytest.mark.parametrize(("mode", "parameters"), MODES)
def test_the_sdk_parses_a_stream_too(client: openai.OpenAI, mode: str, parameters: dict[str, Any]) -> None:
    with client.chat.completions.stream(**asked(extra_body=parameters), response_format=Colour) as stream:
        final = stream.get_final_completion()
    assert isinstance(final.choices[0].message.parsed, Colour), mode


def test_an_answer_may_be_any_object(client: openai.OpenAI) -> None:
    """Cut at its first brace: a small model may nest objects for as long as it is let."""
    completion = client.chat.completions.create(
        **asked(reasoning_effort="none", response_format={"type": "json_object"}, stop=["}"])
    )
    (choice,) = completion.choices
    content = choice.message.content or ""
    assert choice.finish_reason == "stop"
    assert isinstance(json.loads(content + "}" * content.count("{")), dict)


def test_log_probabilities_are_those_of_the_answer_and_all_of_them_are_numbers(client: openai.OpenAI) -> None:
    completion = client.chat.completions.parse(
        **asked(extra_body=dict(MODES)["on"], logprobs=True, top_logprobs=5), response_format=Colour
    )
    (choice,) = completion.choices
    assert choice.logprobs is not None
    entries = choice.logprobs.content or []
    assert "".join(entry.token for entry in entries) == choice.message.content
    for entry in entries:
        assert math.isfinite(entry.logprob)
        assert all(math.isfinite(one.logprob) for one in entry.top_logprobs)
        assert entry.token in {one.token for one in entry.top_logprobs}


def test_an_answer_that_is_cut_ends_by_length(client: openai.OpenAI) -> None:
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(**asked(reasoning_effort="none", max_tokens=4), response_format=Colour)


@pytest.mark.parametrize(
    ("schema", "complaint"),
    [
        ({"type": "whale"}, "whale"),
        ({"$ref": "#/nowhere"}, "nowhere"),
        ({"$ref": "http://127.0.0.1/schema.json"}, "retriev"),
        ({"type": "string", "pattern": "(?=a)b"}, "look-around"),
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"type": "object", "properties": {"a": {"enum": []}}, "required": ["a"]}, "Unsatisfiable"),
    ],
)
def test_a_schema_without_a_grammar_is_a_400_that_says_why(
    client: openai.OpenAI, schema: dict[str, Any], complaint: str
) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "bad", "schema": schema}}
    with pytest.raises(openai.BadRequestError, match=complaint) as refusal:
        client.chat.completions.create(**asked(response_format=form))
    assert refusal.value.param == "response_format.json_schema.schema"
