"""What every engine does alike, on a real chat model."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import time
import warnings
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from kat_predictor.engines.base import Sampling, TokenChunk, TokenLogprob
from tests.fakes.conditions import until

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.xdist_group("engines"),
    # Loading takes seconds with transformers; vLLM starts processes, which takes a minute or two on a busy machine.
    pytest.mark.timeout(600),
]

CHAT = [{"role": "user", "content": "Tell me about the sea."}]


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["transformers", "vllm"])
async def engine(request: pytest.FixtureRequest, base_model_path: Path) -> AsyncIterator[Any]:
    """Any, for besides the protocol the engines have `busy_seconds` in common."""
    loaded = await asyncio.to_thread(_load, request.param, base_model_path)
    yield loaded
    await loaded.close()


def _load(name: str, path: Path) -> Any:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    if name == "vllm":
        # vLLM and torch warn one another of their own deprecations.
        with warnings.catch_warnings(action="ignore"):
            from kat_predictor.engines.vllm import VllmEngine  # noqa: PLC0415 - optional, and slow to import

            return VllmEngine.load(path, max_model_len=2048, arguments={"kv_cache_memory_bytes": 2**29})
    from kat_predictor.engines.load import load_checkpoint  # noqa: PLC0415 - imports torch
    from kat_predictor.engines.transformers import TransformersEngine  # noqa: PLC0415

    model, tokenizer = load_checkpoint(str(path))
    return TransformersEngine(model, tokenizer, max_model_len=2048)


@dataclass(frozen=True)
class Reply:
    """All chunks of a call."""

    chunks: list[TokenChunk]

    @property
    def ids(self) -> list[int]:
        return [token_id for chunk in self.chunks for token_id in chunk.token_ids]

    @property
    def text(self) -> str:
        return "".join(chunk.text for chunk in self.chunks)

    @property
    def logprobs(self) -> list[TokenLogprob]:
        return [entry for chunk in self.chunks for entry in chunk.logprobs]


async def reply_to(engine: Any, prompt: str, **sampling: Any) -> Reply:
    ids = engine.encode(prompt)
    return Reply([chunk async for chunk in engine.generate(ids, Sampling(**{"max_tokens": 16, **sampling}))])


@pytest.fixture
def prompt(engine: Any) -> str:
    text = engine.render_chat(CHAT, None)
    assert isinstance(text, str)
    return text


@pytest.fixture
def eos(engine: Any) -> int:
    [token_id] = engine.encode("<|im_end|>")
    assert isinstance(token_id, int)
    return token_id


async def test_the_chat_template_asks_for_the_assistants_turn(engine: Any) -> None:
    assert "Tell me about the sea." in engine.render_chat(CHAT, None)
    assert engine.render_chat(CHAT, None).endswith("<|im_start|>assistant\n")


async def test_encoding_recognises_special_tokens_and_adds_none(engine: Any) -> None:
    assert len(engine.encode("<|im_start|>")) == 1
    assert engine.encode("") == []


async def test_text_comes_in_pieces_as_it_is_generated(engine: Any, prompt: str) -> None:
    reply = await reply_to(engine, prompt, temperature=0)
    assert len([chunk for chunk in reply.chunks if chunk.text]) > 8
    assert engine.encode(reply.text) == reply.ids


async def test_a_call_ends_with_length_at_max_tokens(engine: Any, prompt: str) -> None:
    reply = await reply_to(engine, prompt, max_tokens=5, temperature=0)
    assert len(reply.ids) == 5
    assert [chunk.finish_reason for chunk in reply.chunks if chunk.finish_reason] == ["length"]
    assert reply.chunks[-1].finish_reason == "length"


async def test_the_end_of_sequence_token_counts_and_has_no_text(engine: Any, prompt: str, eos: int) -> None:
    reply = await reply_to(engine, prompt, logit_bias={eos: 100.0})
    assert reply.ids == [eos]
    assert reply.text == ""
    assert reply.chunks[-1].finish_reason == "stop"


async def test_greedy_is_deterministic(engine: Any, prompt: str) -> None:
    first = await reply_to(engine, prompt, temperature=0)
    assert (await reply_to(engine, prompt, temperature=0)).ids == first.ids


async def test_a_seed_draws_the_same_again_and_another_seed_something_else(engine: Any, prompt: str) -> None:
    first = await reply_to(engine, prompt, seed=1)
    assert (await reply_to(engine, prompt, seed=1)).ids == first.ids
    assert (await reply_to(engine, prompt, seed=2)).ids != first.ids


async def test_a_narrow_nucleus_draws_what_greedy_draws(engine: Any, prompt: str) -> None:
    greedy = await reply_to(engine, prompt, temperature=0)
    assert (await reply_to(engine, prompt, temperature=1.0, top_p=1e-6, seed=3)).ids == greedy.ids


async def test_only_allowed_tokens_are_drawn(engine: Any, prompt: str) -> None:
    allowed = (engine.encode(" yes")[0], engine.encode(" no")[0])
    reply = await reply_to(engine, prompt, allowed_token_ids=allowed, temperature=1.0)
    assert set(reply.ids) <= set(allowed)


async def test_a_bias_makes_a_token_certain(engine: Any, prompt: str) -> None:
    [token_id] = engine.encode(" whale")
    reply = await reply_to(engine, prompt, logit_bias={token_id: 100.0}, max_tokens=3)
    assert reply.text == " whale whale whale"


async def test_no_logprobs_are_given_unless_asked_for(engine: Any, prompt: str) -> None:
    assert (await reply_to(engine, prompt, max_tokens=2)).logprobs == []


async def test_each_token_has_its_logprob_and_the_likeliest_alternatives(engine: Any, prompt: str) -> None:
    reply = await reply_to(engine, prompt, temperature=0, top_logprobs=3)
    assert len(reply.logprobs) == len(reply.ids)
    for entry in reply.logprobs:
        values = [value for _, value in entry.top]
        assert len(values) == 3
        assert values == sorted(values, reverse=True)
        assert entry.top[0] == (entry.token, entry.logprob)
        assert entry.logprob <= 0


async def test_zero_alternatives_give_the_drawn_tokens_alone(engine: Any, prompt: str) -> None:
    reply = await reply_to(engine, prompt, max_tokens=2, top_logprobs=0)
    assert [entry.top for entry in reply.logprobs] == [(), ()]


async def test_logprobs_are_the_models_own_before_temperature_and_bias(engine: Any, prompt: str) -> None:
    plain = await reply_to(engine, prompt, max_tokens=1, temperature=0, top_logprobs=1)
    [token_id] = engine.encode(plain.text)
    bent = await reply_to(
        engine, prompt, max_tokens=1, temperature=2.0, logit_bias={token_id: 100.0}, top_logprobs=1, seed=1
    )
    assert bent.logprobs[0].logprob == pytest.approx(plain.logprobs[0].logprob, abs=0.05)


async def test_a_character_of_several_tokens_comes_whole(engine: Any) -> None:
    """The model copies a rare character that its vocabulary has only in parts."""
    fox = "🦊"
    assert len(engine.encode(fox)) > 1
    reply = await reply_to(engine, f"{fox} {fox} {fox} {fox} {fox} {fox} {fox} {fox} ", temperature=0, max_tokens=24)
    assert fox in reply.text
    assert "\N{REPLACEMENT CHARACTER}" not in "".join(chunk.text for chunk in reply.chunks[:-1])


async def test_bytes_that_make_no_character_are_not_lost(engine: Any, prompt: str) -> None:
    part = engine.encode("🦊")[0]
    reply = await reply_to(engine, prompt, allowed_token_ids=(part,), max_tokens=1)
    assert reply.text == "\N{REPLACEMENT CHARACTER}"


async def test_a_prompt_seen_before_comes_from_the_cache(engine: Any, prompt: str) -> None:
    long = "All work and no play makes Jack a dull boy. " * 8 + prompt
    first = await reply_to(engine, long, temperature=0)
    again = await reply_to(engine, long, temperature=0)
    length = len(engine.encode(long))
    assert first.chunks[0].cached_prompt_tokens < 32
    assert length - 33 <= again.chunks[0].cached_prompt_tokens < length
    assert all(chunk.cached_prompt_tokens == 0 for chunk in again.chunks[1:])


async def test_concurrent_calls_run_side_by_side(engine: Any, prompt: str, eos: int) -> None:
    """The last call has its first token before the first call has its last."""
    order: list[tuple[int, str]] = []

    async def run(number: int) -> None:
        sampling = Sampling(max_tokens=32, temperature=0, logit_bias={eos: -100.0})
        async for chunk in engine.generate(engine.encode(f"{number} {prompt}"), sampling):
            order.append((number, chunk.finish_reason or "token"))  # noqa: PERF401 - one by one, as they come

    await asyncio.gather(*(run(number) for number in range(8)))
    last_start = max(order.index((number, "token")) for number in range(8))
    first_end = min(order.index((number, "length")) for number in range(8))
    assert last_start < first_end


async def test_the_shares_of_concurrent_calls_add_up_to_the_busy_time(engine: Any, prompt: str) -> None:
    await reply_to(engine, prompt, max_tokens=1)
    before = engine.busy_seconds
    replies = await asyncio.gather(*(reply_to(engine, f"{number} {prompt}") for number in range(4)))
    shares = sum(chunk.engine_seconds for reply in replies for chunk in reply.chunks)
    assert shares == pytest.approx(engine.busy_seconds - before, rel=1e-3)


def is_idle(engine: Any) -> bool:
    # vLLM tells its count of running sequences, too.
    return engine.kv_cache_usage() == 0 and getattr(engine, "running_requests", 0) == 0


class Endless:
    """A call that has begun and would go on for very long."""

    def __init__(self, engine: Any, prompt: str, eos: int) -> None:
        self.stream: AsyncGenerator[TokenChunk, None] = engine.generate(
            engine.encode(prompt), Sampling(max_tokens=1900, logit_bias={eos: -100.0})
        )
        self.step_seconds = 0.0

    async def begin(self) -> None:
        await anext(self.stream)
        started = time.monotonic()
        for _ in range(3):
            await anext(self.stream)
        self.step_seconds = (time.monotonic() - started) / 3

    @property
    def patience(self) -> float:
        """A second; a few steps more, for a machine that is busy with other things."""
        return 1 + 3 * self.step_seconds


async def test_closing_a_stream_frees_its_place_within_a_second(engine: Any, prompt: str, eos: int) -> None:
    call = Endless(engine, prompt, eos)
    await call.begin()
    assert engine.kv_cache_usage() > 0
    await call.stream.aclose()
    await until(lambda: is_idle(engine), seconds=call.patience)


async def test_cancelling_the_reader_frees_its_place_within_a_second(engine: Any, prompt: str, eos: int) -> None:
    call = Endless(engine, prompt, eos)
    await call.begin()

    async def read_on() -> None:
        async for _ in call.stream:
            pass

    reader = asyncio.create_task(read_on())
    await asyncio.sleep(0)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    await until(lambda: is_idle(engine), seconds=call.patience)


async def test_a_call_that_ends_leaves_the_cache_unused(engine: Any, prompt: str) -> None:
    await reply_to(engine, prompt, max_tokens=2)
    await until(lambda: is_idle(engine), seconds=1)


@pytest.mark.parametrize(
    "sampling",
    [
        {"max_tokens": 2048},
        {"max_tokens": 0},
        {"temperature": -1.0},
        {"top_p": 0.0},
        {"allowed_token_ids": ()},
        {"allowed_token_ids": (10**7,)},
        {"logit_bias": {10**7: 1.0}},
    ],
)
async def test_what_cannot_be_served_is_a_value_error_and_harms_nobody(
    engine: Any, prompt: str, sampling: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"."):
        await reply_to(engine, prompt, **sampling)
    assert len((await reply_to(engine, prompt, max_tokens=2, temperature=0)).ids) == 2


async def test_an_empty_prompt_is_a_value_error(engine: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        await reply_to(engine, "")


SCHEMA = {
    "type": "object",
    "properties": {"colour": {"enum": ["blue", "green"]}, "waves": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["colour", "waves"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("schema", [SCHEMA, {"type": "object"}], ids=["a schema", "any object"])
async def test_output_obeys_a_json_schema_where_the_engine_says_that_it_can(
    engine: Any, prompt: str, schema: dict[str, Any]
) -> None:
    if not engine.supports_json_schema:
        with pytest.raises(ValueError, match="JSON schema"):
            await reply_to(engine, prompt, json_schema=json.dumps(schema))
        return
    reply = await reply_to(engine, prompt, json_schema=json.dumps(schema), max_tokens=200, seed=1)
    assert reply.chunks[-1].finish_reason == "stop"
    value = json.loads(reply.text)
    assert isinstance(value, dict)
    if schema is SCHEMA:
        assert value["colour"] in {"blue", "green"}
        assert value["waves"] in range(1, 10)


@pytest.mark.parametrize(
    "schema",
    [
        '{"type": ',
        '{"type": "whale"}',
        '{"$ref": "#/nowhere"}',
        '{"type": "object", "patternProperties": {"^a(": {"type": "string"}}}',
        '{"type": "array", "uniqueItems": true}',
    ],
)
async def test_a_json_schema_that_cannot_be_obeyed_is_a_value_error_and_harms_nobody(
    engine: Any, prompt: str, schema: str
) -> None:
    with pytest.raises(ValueError, match=r"."):
        await reply_to(engine, prompt, json_schema=schema)
    assert len((await reply_to(engine, prompt, max_tokens=2, temperature=0)).ids) == 2


async def test_a_working_engine_is_healthy(engine: Any) -> None:
    await engine.health()
