"""Who may start now, who waits, who is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

import pytest

from kat.directory import BudgetState
from kat_predictor.admission import Admission, AdmissionLimits
from kat_predictor.errors import ApiError, BudgetExhausted, Draining, Overloaded, RateLimited
from kat_predictor.tenants import Caller
from tests.fakes.clock import Clock
from tests.fakes.tenants import a_caller


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def door(clock: Clock) -> Callable[..., Admission]:
    def make(*, concurrent: int = 1, queued: int = 10, tokens: int = 1_000_000) -> Admission:
        limits = AdmissionLimits(
            max_concurrent_requests=concurrent, max_queued_requests=queued, max_queued_tokens=tokens
        )
        return Admission(limits, monotonic=clock.monotonic, now=clock.now)

    return make


class Request:
    """A request that runs until it is told to end."""

    def __init__(self, admission: Admission, caller: Caller, tokens: int = 10, log: list[str] | None = None) -> None:
        self.started = asyncio.Event()
        self.end = asyncio.Event()
        self.task = asyncio.create_task(self._run(admission, caller, tokens, log))

    async def _run(self, admission: Admission, caller: Caller, tokens: int, log: list[str] | None) -> None:
        async with admission.admit(caller, tokens):
            if log is not None:
                log.append(caller.tenant.id)
            self.started.set()
            await self.end.wait()

    async def finish(self) -> None:
        self.end.set()
        await self.task

    async def cancel(self) -> None:
        self.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.task


@asynccontextmanager
async def running(admission: Admission, *callers: Caller) -> AsyncGenerator[list[Request], None]:
    """Requests that run, or wait where there is no place, while the block lasts."""
    async with AsyncExitStack() as stack:
        requests = []
        for caller in callers:
            request = Request(admission, caller)
            stack.push_async_callback(request.finish)
            requests.append(request)
            await settled()
        yield requests
        for request in requests:
            request.end.set()


async def settled() -> None:
    """Let every task run until it waits for something."""
    for _ in range(5):
        await asyncio.sleep(0)


async def refusal(admission: Admission, caller: Caller, tokens: int = 10) -> ApiError:
    with pytest.raises(ApiError) as caught:
        async with admission.admit(caller, tokens):
            pass
    return caught.value


async def test_a_request_runs_at_once_while_there_is_a_place(door: Callable[..., Admission]) -> None:
    admission = door(concurrent=2)
    async with running(admission, a_caller(), a_caller()):
        assert (admission.running, admission.queued) == (2, 0)


async def test_a_request_waits_while_there_is_none(door: Callable[..., Admission]) -> None:
    admission = door()
    async with running(admission, a_caller(), a_caller()) as (_, second):
        assert (admission.queued, second.started.is_set()) == (1, False)


async def test_a_request_that_ends_passes_its_place_on(door: Callable[..., Admission]) -> None:
    admission = door()
    async with running(admission, a_caller(), a_caller()) as (first, second):
        await first.finish()
        await asyncio.wait_for(second.started.wait(), 5)
        assert (admission.running, admission.queued) == (1, 0)


async def test_a_place_is_given_back_when_the_request_fails(door: Callable[..., Admission]) -> None:
    admission = door()
    with pytest.raises(ZeroDivisionError):
        async with admission.admit(a_caller(), 10):
            raise ZeroDivisionError
    assert admission.running == 0


async def test_tenants_that_wait_take_turns(door: Callable[..., Admission]) -> None:
    admission = door()
    log: list[str] = []
    requests = []
    for tenant in "aaaabb":
        requests.append(Request(admission, a_caller(tenant), log=log))
        await settled()
    for request in requests:
        request.end.set()
    await asyncio.gather(*(request.task for request in requests))
    assert "".join(log) == "aababa"


async def test_tenants_that_wait_take_turns_by_their_weights(door: Callable[..., Admission]) -> None:
    admission = door()
    log: list[str] = []
    requests = []
    for tenant in "xaaaabbbb":
        requests.append(Request(admission, a_caller(tenant, weight="3" if tenant == "a" else "1"), log=log))
        await settled()
    for request in requests:
        request.end.set()
    await asyncio.gather(*(request.task for request in requests))
    assert "".join(log) == "xabaaabbb"


async def test_a_full_queue_refuses_with_503(door: Callable[..., Admission]) -> None:
    admission = door(queued=1)
    async with running(admission, a_caller(), a_caller()):
        assert isinstance(await refusal(admission, a_caller()), Overloaded)


async def test_a_queue_full_of_tokens_refuses_with_503(door: Callable[..., Admission]) -> None:
    admission = door(tokens=15)
    async with running(admission, a_caller(), a_caller()):
        assert isinstance(await refusal(admission, a_caller(), tokens=6), Overloaded)


async def test_a_large_request_may_run_though_it_could_not_wait(door: Callable[..., Admission]) -> None:
    admission = door(tokens=15)
    async with admission.admit(a_caller(), 10_000):
        assert admission.running == 1


async def test_a_full_replica_says_when_a_place_may_be_free(door: Callable[..., Admission], clock: Clock) -> None:
    admission = door(queued=0, concurrent=2)
    for _ in range(100):
        async with admission.admit(a_caller(), 10):
            clock.advance(30)
    async with running(admission, a_caller(), a_caller()):
        assert (await refusal(admission, a_caller())).retry_after == pytest.approx(15, rel=0.01)


async def test_a_request_cancelled_while_it_waits_leaves_no_trace(door: Callable[..., Admission]) -> None:
    admission = door(concurrent=1)
    caller = a_caller(requests_per_minute=2, tokens_per_minute=20, concurrency=2)
    async with running(admission, a_caller("other")):
        waiting = Request(admission, caller)
        await settled()
        await waiting.cancel()
        assert admission.queued == 0
    async with admission.admit(caller, 10), AsyncExitStack() as stack:
        second = Request(admission, caller)
        await settled()
        assert admission.queued == 1
        stack.push_async_callback(second.cancel)


async def test_a_request_cancelled_as_its_turn_comes_passes_the_turn_on(door: Callable[..., Admission]) -> None:
    admission = door()
    first, second, third = (Request(admission, a_caller()) for _ in range(3))
    await settled()
    first.end.set()
    while admission.queued == 2:  # noqa: ASYNC110 - step by step: the first one leaves, the turn is the second's …
        await asyncio.sleep(0)
    await second.cancel()  # … which does not want it any more
    await asyncio.wait_for(third.started.wait(), 5)
    assert (admission.running, admission.queued, second.started.is_set()) == (1, 0, False)
    await third.finish()


async def test_a_spent_budget_refuses_until_the_next_month(door: Callable[..., Admission]) -> None:
    error = await refusal(door(), a_caller(budget=BudgetState.EXHAUSTED))
    assert isinstance(error, BudgetExhausted)
    assert error.retry_after == 16.5 * 86_400  # from the 15th of March, noon, to the 1st of April


@pytest.mark.parametrize("state", [BudgetState.OK, BudgetState.THINK_OFF])
async def test_a_budget_that_is_not_spent_admits(door: Callable[..., Admission], state: BudgetState) -> None:
    admission = door()
    async with admission.admit(a_caller(budget=state), 10):
        assert admission.running == 1


async def test_the_requests_of_a_minute_are_limited(door: Callable[..., Admission]) -> None:
    admission = door()
    caller = a_caller(requests_per_minute=2)
    for _ in range(2):
        async with admission.admit(caller, 10):
            pass
    error = await refusal(admission, caller)
    assert isinstance(error, RateLimited)
    assert error.retry_after == pytest.approx(30)


async def test_another_request_is_admitted_after_the_time_that_was_named(
    door: Callable[..., Admission], clock: Clock
) -> None:
    admission = door()
    caller = a_caller(requests_per_minute=1)
    async with admission.admit(caller, 10):
        pass
    clock.advance((await refusal(admission, caller)).retry_after or 0)
    async with admission.admit(caller, 10):
        assert admission.running == 1


async def test_the_tokens_of_a_minute_are_limited(door: Callable[..., Admission]) -> None:
    admission = door()
    caller = a_caller(tokens_per_minute=60)
    async with admission.admit(caller, 60):
        pass
    assert (await refusal(admission, caller, tokens=10)).retry_after == pytest.approx(10)


async def test_tokens_that_were_not_used_are_given_back(door: Callable[..., Admission]) -> None:
    admission = door()
    caller = a_caller(tokens_per_minute=60)
    async with admission.admit(caller, 60) as slot:
        slot.settle(20)
    async with admission.admit(caller, 40):
        assert admission.running == 1


async def test_tokens_used_beyond_what_was_expected_are_waited_for(door: Callable[..., Admission]) -> None:
    admission = door()
    caller = a_caller(tokens_per_minute=60)
    async with admission.admit(caller, 10) as slot:
        slot.settle(90)
    assert (await refusal(admission, caller, tokens=10)).retry_after == pytest.approx(40)


async def test_the_concurrency_of_a_tenant_is_limited(door: Callable[..., Admission]) -> None:
    admission = door(concurrent=4)
    caller = a_caller(concurrency=1)
    async with running(admission, caller):
        assert isinstance(await refusal(admission, caller), RateLimited)


async def test_the_limits_of_one_tenant_are_not_those_of_another(door: Callable[..., Admission]) -> None:
    admission = door(concurrent=4)
    async with running(admission, a_caller("a", concurrency=1), a_caller("b", concurrency=1)):
        assert admission.running == 2


async def test_a_refusal_takes_nothing_from_the_limits(door: Callable[..., Admission]) -> None:
    admission = door(queued=0)
    caller = a_caller(requests_per_minute=1, tokens_per_minute=10)
    async with running(admission, a_caller("other")):
        assert isinstance(await refusal(admission, caller), Overloaded)
    async with admission.admit(caller, 10):
        assert admission.running == 1


async def test_a_draining_replica_refuses(door: Callable[..., Admission]) -> None:
    admission = door()
    admission.drain()
    assert isinstance(await refusal(admission, a_caller()), Draining)


async def test_requests_that_wait_still_get_their_turn_while_draining(door: Callable[..., Admission]) -> None:
    admission = door()
    async with running(admission, a_caller(), a_caller()) as (first, second):
        admission.drain()
        await first.finish()
        await asyncio.wait_for(second.started.wait(), 5)


async def test_a_replica_is_idle_once_the_last_request_ended(door: Callable[..., Admission]) -> None:
    admission = door()
    async with running(admission, a_caller(), a_caller()):
        idle = asyncio.create_task(admission.idle())
        await settled()
        assert not idle.done()
    await asyncio.wait_for(idle, 5)


@pytest.mark.parametrize("seed", range(5))
async def test_no_place_is_lost_or_given_twice_whoever_leaves_when(door: Callable[..., Admission], seed: int) -> None:
    die = Random(seed)
    admission = door(concurrent=3, queued=1_000)
    most = 0

    async def request(tenant: str, steps: int) -> None:
        nonlocal most
        async with admission.admit(a_caller(tenant), die.randrange(1, 50)):
            most = max(most, admission.running)
            for _ in range(steps):
                await asyncio.sleep(0)

    tasks = []
    for _ in range(300):
        tasks.append(asyncio.create_task(request(die.choice("abc"), die.randrange(6))))
        await asyncio.sleep(0)
        if die.random() < 0.4:
            die.choice(tasks).cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.wait_for(admission.idle(), 5)
    assert (most, admission.running, admission.queued, admission._queue.tokens) == (3, 0, 0, 0)
