"""Waiting for what another task, thread or process brings about."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object], *, seconds: float = 10) -> None:
    """Return once `condition()` is true. Raises TimeoutError after `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - see below
            # The code under test does not announce what a test waits for, so there is no event to await.
            await asyncio.sleep(0.001)
