"""What only the vLLM engine can be asked for: how it ends, and what it refuses to start with."""

from __future__ import annotations

import asyncio
import os
import signal
import warnings
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from kat_predictor.engines.base import EngineError, Sampling, TokenChunk
from tests.fakes.alive import is_alive
from tests.fakes.conditions import until
from tests.fakes.engine_core import engine_core_of

pytest.importorskip("vllm")

with warnings.catch_warnings(action="ignore"):  # vLLM and torch warn one another of their own deprecations
    from kat_predictor.engines.vllm import VllmEngine

pytestmark = [
    pytest.mark.xdist_group("engines"),
    # vLLM starts processes, which takes a minute or two on a busy machine.
    pytest.mark.timeout(600),
]


def load(path: Path) -> VllmEngine:
    with warnings.catch_warnings(action="ignore"):
        return VllmEngine.load(path, max_model_len=2048, arguments={"kv_cache_memory_bytes": 2**28})


async def begun(engine: VllmEngine) -> AsyncGenerator[TokenChunk, None]:
    [eos] = engine.encode("<|im_end|>")
    stream = engine.generate(engine.encode("The sea is"), Sampling(max_tokens=2000, logit_bias={eos: -100.0}))
    await anext(stream)
    return stream


async def to_its_end(stream: AsyncGenerator[TokenChunk, None]) -> None:
    async for _ in stream:
        pass


async def test_streams_end_and_health_fails_when_the_engine_process_is_killed(base_model_path: Path) -> None:
    """Within 10 s: what a liveness probe needs to restart the pod."""
    engine = await asyncio.to_thread(load, base_model_path)
    try:
        streams = [await begun(engine), await begun(engine)]
        await engine.health()
        os.kill(engine_core_of(os.getpid()), signal.SIGKILL)
        async with asyncio.timeout(10):
            for stream in streams:
                with pytest.raises(EngineError):
                    await to_its_end(stream)
        with pytest.raises(EngineError):
            await engine.health()
        with pytest.raises(EngineError):
            await begun(engine)
    finally:
        await engine.close()


async def test_closing_the_engine_ends_the_calls_that_still_run(base_model_path: Path) -> None:
    engine = await asyncio.to_thread(load, base_model_path)
    stream = await begun(engine)
    process = engine_core_of(os.getpid())
    await engine.close()
    with pytest.raises(EngineError):
        await to_its_end(stream)
    with pytest.raises(EngineError):
        await engine.health()
    await until(lambda: not is_alive(process))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"tensor_paralel_size": 2}, "no engine argument tensor_paralel_size; did you mean tensor_parallel_size"),
        ({"model": "other"}, "model is set by KAT_MODEL"),
        ({"trust_remote_code": True}, "trust_remote_code is set by KAT_TRUST_REMOTE_CODE"),
        ({"disable_log_stats": True}, "disable_log_stats is set by the predictor"),
        ({"max_model_len": 1024}, "max_model_len is set by KAT_MAX_MODEL_LEN already"),
        ({"tensor_parallel_size": "two"}, "invalid int value: 'two'"),
        ({"tensor_parallel_size": -1}, "greater than or equal to 1"),
        ({"quantization": "magic"}, "Unknown quantization method: magic"),
        ({"dtype": "int3"}, "invalid choice: 'int3'"),
    ],
)
def test_a_bad_engine_argument_is_refused_in_one_line_before_anything_starts(
    base_model_path: Path, arguments: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint) as refusal:
        VllmEngine.load(base_model_path, max_model_len=2048, arguments=arguments)
    assert "\n" not in str(refusal.value)


def test_a_folder_that_is_not_there_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="no checkpoint folder /nowhere"):
        VllmEngine.load("/nowhere")
