"""Work that must be done even while its task is being cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

_T = TypeVar("_T")


async def despite_cancellation(work: Awaitable[_T]) -> _T:
    """Await `work` to its end. A cancellation that comes meanwhile is raised afterwards.

    For the `finally` of a request: its usage must reach the disk also when the client left, or when the server gives
    up on it at shutdown.
    """
    future = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            # `wait` leaves the future alone when it is cancelled itself.
            await asyncio.wait((future,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return future.result()
