"""Loading and warming up: told in the log while it lasts, and fatal in one line where it fails."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass

import pytest
from structlog.testing import capture_logs

from kat_predictor.engines.base import EngineError
from kat_predictor.errors import StartupError
from kat_predictor.startup import load_in_thread, warm_up
from tests.fakes.conditions import until
from tests.fakes.engine import Reply, ScriptedEngine


@dataclass
class HungEngine(ScriptedEngine):
    """Never says a word, and knows that this is wrong."""

    async def health(self) -> None:
        raise EngineError("no step for 60 s")


async def test_the_log_tells_that_loading_goes_on_and_for_how_long() -> None:
    go_on = threading.Event()
    engine = ScriptedEngine()

    def load() -> ScriptedEngine:
        go_on.wait()
        return engine

    with capture_logs() as lines:
        loading = asyncio.create_task(load_in_thread(load, "kat", progress_seconds=0.001))
        await until(lambda: len(lines) >= 3)
        go_on.set()
        assert await loading is engine
    assert {(line["event"], line["model"]) for line in lines} == {("loading_model", "kat")}
    assert all("seconds" in line for line in lines[1:])


@pytest.mark.parametrize("failure", [EngineError, OSError, ValueError, ImportError])
async def test_a_model_that_cannot_be_loaded_is_named_with_the_reason(failure: type[Exception]) -> None:
    def load() -> ScriptedEngine:
        raise failure("no such thing")

    with pytest.raises(StartupError, match=r"^The model 'kat' cannot be loaded: no such thing$"):
        await load_in_thread(load, "kat")


async def test_giving_up_on_a_model_that_loads_does_not_wait_for_it() -> None:
    release = threading.Event()

    def load() -> ScriptedEngine:
        release.wait()
        return ScriptedEngine()

    loading = asyncio.create_task(load_in_thread(load, "kat"))
    await asyncio.sleep(0)
    loading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loading
    assert not release.is_set()
    release.set()


async def test_the_warm_up_has_one_token_generated() -> None:
    engine = ScriptedEngine()
    await warm_up(engine, "kat")
    assert [(call.sampling.max_tokens, call.finished) for call in engine.calls] == [(1, True)]


async def test_an_engine_that_fails_its_first_request_does_not_start() -> None:
    engine = ScriptedEngine([Reply("x", fail_after=0)])
    with pytest.raises(StartupError, match=r"^The model 'kat' was loaded, and does not answer: the engine broke"):
        await warm_up(engine, "kat")


async def test_an_engine_that_hangs_at_its_first_request_does_not_start() -> None:
    engine = HungEngine([Reply("x", stall_after=0)])
    with pytest.raises(StartupError, match="does not answer: no step for 60 s"):
        await warm_up(engine, "kat", progress_seconds=0.001)
    await until(lambda: engine.calls[0].closed)
