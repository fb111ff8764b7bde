"""A predictor with a scripted engine, made to measure by each test."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.engine import ScriptedEngine
from tests.fakes.predictor import Predictor, running_predictor

MakePredictor = Callable[..., Awaitable[Predictor]]


@pytest.fixture
async def make_predictor(tmp_path: Path) -> AsyncGenerator[MakePredictor, None]:
    """Makes the predictor of a test; further arguments are those of `running_predictor`."""
    async with AsyncExitStack() as stack:

        async def make(engine: ScriptedEngine | None = None, **options: Any) -> Predictor:
            return await stack.enter_async_context(running_predictor(tmp_path, engine or ScriptedEngine(), **options))

        yield make
