"""What comes before readiness: the model is loaded and answers once, and the log says how far it is."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final, TypeVar

import structlog

from kat_predictor.engines.base import Engine, EngineError, Sampling
from kat_predictor.errors import StartupError

_log = structlog.get_logger(__name__)
_PROGRESS_SECONDS: Final = 10.0
_T = TypeVar("_T")


async def load_in_thread(
    load: Callable[[], Engine], model: str, *, progress_seconds: float = _PROGRESS_SECONDS
) -> Engine:
    """Load a model while the loop goes on.

    Args:
        load: Does it, blocking.
        model: What to call it in the log.
        progress_seconds: Time between two lines of the log.

    Raises:
        StartupError: It cannot be loaded.
    """
    try:
        return await _announced(_in_thread(load), "loading_model", model, progress_seconds)
    except (EngineError, OSError, ValueError, ImportError) as error:
        raise StartupError(f"The model '{model}' cannot be loaded: {error}") from error


async def warm_up(engine: Engine, model: str, *, progress_seconds: float = _PROGRESS_SECONDS) -> None:
    """One token: what fails at the first request, or takes long, does so here, before readiness.

    Args:
        engine: As it was loaded.
        model: What to call it in the log.
        progress_seconds: Time between two lines of the log, and between two looks at the engine's health.

    Raises:
        StartupError: The engine fails, or hangs.
    """
    try:
        await _announced(_first_token(engine), "warming_up", model, progress_seconds, engine.health)
    except (EngineError, ValueError) as error:
        raise StartupError(f"The model '{model}' was loaded, and does not answer: {error}") from error


async def _first_token(engine: Engine) -> None:
    sampling = Sampling(max_tokens=1, temperature=0)
    async with aclosing(engine.generate(engine.encode("Hello"), sampling)) as chunks:
        async for _ in chunks:
            pass


async def _announced(
    work: Awaitable[_T],
    event: str,
    model: str,
    progress_seconds: float,
    check: Callable[[], Awaitable[None]] | None = None,
) -> _T:
    """Await work, saying now and then that it goes on, for as long as the check does not raise."""
    began = time.monotonic()
    _log.info(event, model=model)
    future = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait((future,), timeout=progress_seconds))[0]:
            _log.info(event, model=model, seconds=round(time.monotonic() - began))
            if check is not None:
                await check()
    except BaseException:
        future.cancel()
        raise
    return future.result()


def _in_thread(work: Callable[[], _T]) -> asyncio.Future[_T]:
    """Do work in a thread of its own.

    It is a daemon: a server that is told to stop while it loads a model does not wait for it.
    """
    done: concurrent.futures.Future[_T] = concurrent.futures.Future()

    def run() -> None:
        if not done.set_running_or_notify_cancel():
            return
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - handed to whoever awaits
            done.set_exception(error)

    threading.Thread(target=run, name="load", daemon=True).start()
    return asyncio.wrap_future(done)
