"""Real models behind the real server, driven by the openai SDK: one that judges by itself, and one that is asked to."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletionChunk

from kat.usage_event import Mode, ModeSource, Status, UsageEvent
from tests.fakes.predictor import KEY, MODEL
from tests.integration.predictor.api.conftest import Server, running_server, wait_until

pytestmark = [
    pytest.mark.xdist_group("engines"),
    # vLLM starts processes, which takes a minute or two on a busy machine.
    pytest.mark.timeout(600),
]

MODES = [("none", "off"), ("high", "on")]
# One thread: where other tests keep the cores busy, threads that wait for one another take a hundred times as long.
TRANSFORMERS = {"KAT_ENGINE": "transformers", "OMP_NUM_THREADS": "1"}
VLLM = {"KAT_ENGINE": "vllm", "KAT_ENGINE_ARGS": '{"kv_cache_memory_bytes": 536870912, "max_model_len": 4096}'}
# The emulated judge on vLLM is met in test_structured_answers.py; vLLM takes long to start.
SERVERS = {
    "transformers, emulated judge": ("base_model_path", TRANSFORMERS),
    "transformers, native judge": ("default_model_path", TRANSFORMERS),
    "vllm, native judge": ("default_model_path", VLLM),
}


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Server, None, None]:
    model_path, engine = SERVERS[request.param]
    if importlib.util.find_spec(engine["KAT_ENGINE"]) is None:
        pytest.skip(f"{engine['KAT_ENGINE']} is not installed")
    command = [str(Path(sys.executable).with_name("kat")), "predictor", "serve"]
    home = tmp_path_factory.mktemp("real") / "home"
    settings = {"KAT_MODEL": str(request.getfixturevalue(model_path)), **engine}
    with running_server(home, command, settings) as running:
        running.wait_for("/v2/health/ready", 200, patience_seconds=500)
        yield running


@pytest.fixture(scope="module")
def client(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY, timeout=240, max_retries=0)


def _segments(usage: CompletionUsage | None) -> dict[str, int]:
    assert usage is not None
    segments: dict[str, int] = usage.model_extra["kat_segments"] if usage.model_extra else {}
    return segments


def _event_of(server: Server, response_id: str) -> UsageEvent:
    def found() -> list[UsageEvent]:
        return [event for event in server.metering.events if response_id.endswith(str(event.id))]

    wait_until(found, "the usage event")
    return found()[0]


def _asked(content: str, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": content}], "max_tokens": 32, **more}


@pytest.mark.parametrize(("effort", "mode"), MODES)
def test_a_forced_mode_is_used_and_accounted(server: Server, client: openai.OpenAI, effort: str, mode: str) -> None:
    response = client.chat.completions.create(**_asked("What is 2 + 2?", reasoning_effort=effort, temperature=0))
    data = _event_of(server, response.id).data
    assert (data.mode, data.mode_source) == (Mode(mode), ModeSource.REQUEST)
    assert _segments(response.usage) == data.tokens.model_dump()
    assert (data.tokens.think > 0) == (mode == "on")


def test_left_alone_the_model_chooses_and_says_why(server: Server, client: openai.OpenAI) -> None:
    response = client.chat.completions.create(**_asked("Hello, how are you?", temperature=0))
    data = _event_of(server, response.id).data
    assert data.mode in {Mode.ON, Mode.OFF}
    assert data.mode_source is ModeSource.MODEL
    assert data.tokens.judge > 0
    assert response.choices[0].message.model_extra
    assert response.choices[0].message.model_extra["reasoning_content"]


@pytest.mark.parametrize(("effort", "mode"), MODES)
def test_a_stream_is_the_same_completion_as_the_whole(
    server: Server, client: openai.OpenAI, effort: str, mode: str
) -> None:
    asked = _asked("Name three colours.", reasoning_effort=effort, temperature=0)
    whole = client.chat.completions.create(**asked)
    chunks: list[ChatCompletionChunk] = list(
        client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    )
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    extras = [delta.model_extra or {} for delta in deltas]
    message = whole.choices[0].message
    assert "".join(delta.content or "" for delta in deltas) == message.content
    assert "".join(extra.get("reasoning") or "" for extra in extras) == ((message.model_extra or {})["reasoning"] or "")
    assert _segments(chunks[-1].usage) == _event_of(server, chunks[-1].id).data.tokens.model_dump()
    assert chunks[-1].model_extra
    assert chunks[-1].model_extra["kat"]["mode"] == mode


def test_a_thinking_budget_is_kept_and_an_answer_follows(server: Server, client: openai.OpenAI) -> None:
    asked = _asked("Why is the sky blue?", reasoning_effort="high", temperature=0)
    response = client.chat.completions.create(**asked, extra_body={"thinking_token_budget": 8})
    segments = _segments(response.usage)
    assert segments["think"] <= 8
    assert segments["answer"] > 0


def test_concurrent_requests_are_each_accounted(server: Server, client: openai.OpenAI) -> None:
    def ask(number: int) -> tuple[str, dict[str, int]]:
        response = client.chat.completions.create(**_asked(f"Count to {number}.", reasoning_effort="none"))
        return response.id, _segments(response.usage)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(8)))
    assert len({identifier for identifier, _ in answers}) == 8
    for identifier, segments in answers:
        assert _event_of(server, identifier).data.tokens.model_dump() == segments


# A model that was taught short answers may be done before its client has left.
@pytest.mark.parametrize("server", ["transformers, emulated judge"], indirect=True)
def test_a_client_that_leaves_is_accounted_for_what_it_got(server: Server, client: openai.OpenAI) -> None:
    asked = _asked("Write a long story.", reasoning_effort="none") | {"max_tokens": 2_000}
    stream = client.chat.completions.create(**asked, stream=True)
    first = next(iter(stream))
    stream.close()
    data = _event_of(server, first.id).data
    assert data.status is Status.ABORTED
    assert 0 < data.tokens.completion < 2_000
