from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from kat_predictor.engines.base import EngineError, Sampling, TokenChunk
from kat_predictor.engines.transformers import TransformersEngine

Prompts = Callable[[int], list[int]]
Reference = Callable[[list[int], int], list[int]]
Broken = tuple[TransformersEngine, list[BaseException | list[TokenChunk]]]


@pytest.fixture
async def engine(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> AsyncIterator[TransformersEngine]:
    made = TransformersEngine(model, tokenizer, max_batch=4, max_batch_tokens=1024)
    # With random weights any token may come; tests of the end of a sequence are elsewhere.
    made._stop_ids = frozenset()
    yield made
    await made.close()


async def collect(engine: TransformersEngine, prompt: list[int], count: int, **settings: Any) -> list[TokenChunk]:
    sampling = Sampling(max_tokens=count, **{"temperature": 0, **settings})
    return [chunk async for chunk in engine.generate(prompt, sampling)]


def tokens(chunks: list[TokenChunk]) -> list[int]:
    return [token for chunk in chunks for token in chunk.token_ids]


async def test_concurrent_calls_each_get_their_own_tokens(
    engine: TransformersEngine, prompts: Prompts, reference: Reference
) -> None:
    asked = [prompts(length) for length in (5, 30, 12, 7, 40, 3)]

    answers = await asyncio.gather(*(collect(engine, prompt, 12) for prompt in asked))

    assert [tokens(chunks) for chunks in answers] == [reference(prompt, 12) for prompt in asked]


async def test_only_the_last_chunk_has_a_finish_reason(engine: TransformersEngine, prompts: Prompts) -> None:
    chunks = await collect(engine, prompts(5), 4)

    assert [chunk.finish_reason for chunk in chunks] == [None, None, None, "length"]


async def test_the_shares_of_all_calls_are_the_engines_busy_time(engine: TransformersEngine, prompts: Prompts) -> None:
    answers = await asyncio.gather(*(collect(engine, prompts(length), 12) for length in (5, 30, 12, 7, 40, 3)))

    shares = sum(chunk.engine_seconds for chunks in answers for chunk in chunks)
    assert shares == pytest.approx(engine.busy_seconds)


async def test_closing_the_stream_frees_its_place_in_the_batch(engine: TransformersEngine, prompts: Prompts) -> None:
    async with aclosing(engine.generate(prompts(5), Sampling(max_tokens=200, temperature=0))) as stream:
        await anext(stream)
        assert engine.kv_cache_usage() > 0

    # The next call is served after the place was freed, so by its end the first has left.
    await collect(engine, prompts(5), 3)
    assert engine.kv_cache_usage() == 0


async def test_cancelling_the_task_that_reads_stops_the_work(engine: TransformersEngine, prompts: Prompts) -> None:
    started = asyncio.Event()

    async def read() -> None:
        async with aclosing(engine.generate(prompts(5), Sampling(max_tokens=200, temperature=0))) as stream:
            async for _ in stream:
                started.set()

    task = asyncio.create_task(read())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await collect(engine, prompts(5), 3)
    assert engine.kv_cache_usage() == 0


async def test_a_stream_that_nobody_reads_starts_no_work(engine: TransformersEngine, prompts: Prompts) -> None:
    stream = engine.generate(prompts(5), Sampling(max_tokens=5))
    await stream.aclose()

    assert engine.busy_seconds == 0


async def test_a_loop_that_is_gone_harms_no_other(
    engine: TransformersEngine, prompts: Prompts, reference: Reference
) -> None:
    """A test client or an embedding program may run loops that end without closing their streams."""
    prompt = prompts(9)

    def elsewhere() -> None:
        loop = asyncio.new_event_loop()
        stream = engine.generate(prompts(5), Sampling(max_tokens=200, temperature=0))
        loop.run_until_complete(anext(stream))
        loop.close()

    await asyncio.to_thread(elsewhere)

    assert tokens(await collect(engine, prompt, 10)) == reference(prompt, 10)
    await engine.health()


@pytest.mark.parametrize(
    ("prompt", "settings", "complaint"),
    [
        ([], {}, "no tokens"),
        ([1] * 250, {"max_tokens": 7}, "exceed"),
        ([1], {"max_tokens": 0}, "max_tokens"),
        ([1], {"temperature": -1.0}, "temperature"),
        ([1], {"top_p": 0.0}, "top_p"),
        ([1], {"top_p": 1.1}, "top_p"),
        ([1], {"allowed_token_ids": ()}, "allowed_token_ids"),
        ([1], {"allowed_token_ids": (5000,)}, "vocabulary"),
        ([1], {"logit_bias": {-1: 1.0}}, "vocabulary"),
        ([5000], {}, "vocabulary"),
        ([1], {"json_schema": "{}"}, "JSON schema"),
    ],
)
async def test_a_call_that_cannot_be_served_is_refused_before_it_starts(
    engine: TransformersEngine, prompt: list[int], settings: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        engine.generate(prompt, Sampling(**{"max_tokens": 1, **settings}))


async def test_the_longest_allowed_call_is_served(engine: TransformersEngine, prompts: Prompts) -> None:
    assert len(tokens(await collect(engine, prompts(250), 6))) == 6


# --- failure and end


@pytest.fixture
async def broken(engine: TransformersEngine, prompts: Prompts, monkeypatch: pytest.MonkeyPatch) -> Broken:
    """An engine whose third step failed, and what became of the three calls that ran."""
    steps = engine._batch._forward
    passed = iter(range(2))

    def forward(*arguments: Any) -> torch.Tensor:
        if next(passed, None) is None:
            raise RuntimeError("device-side assert triggered")
        return steps(*arguments)

    monkeypatch.setattr(engine._batch, "_forward", forward)
    ends = await asyncio.gather(*(collect(engine, prompts(5), 20) for _ in range(3)), return_exceptions=True)
    return engine, ends


async def test_a_failed_step_ends_every_call_with_the_cause(broken: Broken) -> None:
    _, ends = broken

    assert [str(end) for end in ends] == ["the engine failed: device-side assert triggered"] * 3
    assert all(isinstance(end, EngineError) for end in ends)


async def test_after_a_failed_step_health_fails_and_new_calls_are_refused(
    broken: Broken,
) -> None:
    engine, _ = broken

    with pytest.raises(EngineError):
        await engine.health()
    with pytest.raises(EngineError):
        await collect(engine, [1], 1)


async def test_health_fails_while_a_step_hangs(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    prompts: Prompts,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = TransformersEngine(model, tokenizer, max_batch_tokens=1024, stall_seconds=0)
    inside, release = threading.Event(), threading.Event()
    real = engine._batch._forward

    def hang(*arguments: Any) -> torch.Tensor:
        inside.set()
        release.wait()
        return real(*arguments)

    monkeypatch.setattr(engine._batch, "_forward", hang)
    call = asyncio.create_task(collect(engine, prompts(3), 1))
    await asyncio.to_thread(inside.wait)
    try:
        with pytest.raises(EngineError, match="not finished a step"):
            await engine.health()
    finally:
        release.set()
        await call
        await engine.close()


async def test_a_healthy_engine_says_so(engine: TransformersEngine) -> None:
    await engine.health()


async def test_closing_the_engine_ends_running_calls_and_its_thread(
    engine: TransformersEngine, prompts: Prompts
) -> None:
    stream = engine.generate(prompts(5), Sampling(max_tokens=200, temperature=0))
    await anext(stream)

    await engine.close()

    with pytest.raises(EngineError, match="closed"):
        async for _ in stream:
            pass
    assert not engine._worker.is_alive()


async def test_a_closed_engine_refuses_calls_and_may_be_closed_again(engine: TransformersEngine) -> None:
    await engine.close()
    await engine.close()

    with pytest.raises(EngineError, match="closed"):
        await collect(engine, [1], 1)


# --- sizes


def test_the_length_is_the_models_own_unless_the_cache_is_smaller(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    lengths = []
    for cells in (1024, 100):
        engine = TransformersEngine(model, tokenizer, max_batch_tokens=cells)
        lengths.append(engine.max_model_len)
        asyncio.run(engine.close())

    assert lengths == [256, 100]


@pytest.mark.parametrize(("asked", "cells"), [(300, 1024), (200, 100)])
def test_a_length_that_model_or_cache_cannot_hold_is_refused(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, asked: int, cells: int
) -> None:
    with pytest.raises(ValueError, match="length of"):
        TransformersEngine(model, tokenizer, max_model_len=asked, max_batch_tokens=cells)
