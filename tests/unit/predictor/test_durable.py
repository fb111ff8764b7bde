"""Work that a cancelled task still sees through."""

import asyncio

import pytest

from kat_predictor.durable import despite_cancellation


async def test_the_result_is_given_where_nobody_cancels() -> None:
    async def work() -> int:
        return 42

    assert await despite_cancellation(work()) == 42


async def test_a_cancelled_task_ends_only_when_the_work_is_done() -> None:
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(despite_cancellation(gate))
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    gate.set_result(None)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_works_own_failure_is_raised() -> None:
    async def work() -> None:
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        await despite_cancellation(work())
