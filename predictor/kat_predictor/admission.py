"""Who may start now, who waits, who is refused; all of it before the engine does any work.

async with admission.admit(caller, tokens=prompt_tokens + max_tokens) as slot:
    ...
    slot.settle(tokens_really_used)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from kat.directory import BudgetState, Tenant
from kat_predictor.errors import BudgetExhausted, Draining, Overloaded, RateLimited
from kat_predictor.fair_queue import Entry, FairQueue
from kat_predictor.rate_limits import RateLimits
from kat_predictor.tenants import Caller, utc_now

_SMOOTHING: Final = 0.1
"""Weight of the newest request in the moving average of durations."""


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """Limits of the replica."""

    max_concurrent_requests: int
    max_queued_requests: int
    max_queued_tokens: int


class Slot:
    """A place to run in. It takes down how many tokens the request really used."""

    __slots__ = ("used",)

    def __init__(self) -> None:
        self.used: int | None = None

    def settle(self, tokens: int) -> None:
        """The request used so many tokens, prompt and completion; without this, the expected ones count as used."""
        self.used = tokens


class _TenantState:
    """One tenant on this replica."""

    __slots__ = ("accepted", "rates")

    def __init__(self) -> None:
        self.rates = RateLimits()
        self.accepted = 0
        """Requests that run or wait."""


class Admission:
    """The door of one replica. Its methods belong to one event loop."""

    def __init__(
        self,
        limits: AdmissionLimits,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._limits = limits
        self._monotonic = monotonic
        self._now = now
        self._queue = FairQueue()
        self._turns: dict[Entry, asyncio.Future[None]] = {}
        self._tenants: dict[str, _TenantState] = {}
        self._running = 0
        self._mean_seconds = 1.0
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def running(self) -> int:
        """Requests that run."""
        return self._running

    @property
    def queued(self) -> int:
        """Requests that wait for a place."""
        return len(self._queue)

    def drain(self) -> None:
        """Refuse all new requests from now on. Those that wait were accepted, and still get their turn."""
        self._draining = True

    async def idle(self) -> None:
        """Return when no request runs or waits."""
        await self._idle.wait()

    @asynccontextmanager
    async def admit(self, caller: Caller, tokens: int) -> AsyncGenerator[Slot, None]:
        """Hold a place while a request runs, after waiting for it where need be.

        Args:
            caller: Who asks.
            tokens: What the request may use at most: prompt and max_tokens.

        Raises:
            Draining: The replica is shutting down.
            BudgetExhausted: The tenant's monthly budget is spent.
            RateLimited: The tenant is at one of its limits.
            Overloaded: The replica and its queue are full.
        """
        tenant = caller.tenant
        state = self._tenants.setdefault(tenant.id, _TenantState())
        now = self._monotonic()
        state.rates.follow(tenant.limits, now)
        # Nothing is taken before every check has passed: a refusal costs the tenant none of its limits.
        self._refuse_while_draining()
        self._refuse_by_budget(tenant)
        self._refuse_by_limits(tenant, state, tokens, now)
        self._refuse_when_full(tokens)
        state.rates.take(tokens, now)
        state.accepted += 1
        self._idle.clear()
        try:
            try:
                await self._turn(tenant.id, tokens)
            except asyncio.CancelledError:
                state.rates.undo(tokens, self._monotonic())
                raise
            slot = Slot()
            started = self._monotonic()
            try:
                yield slot
            finally:
                ended = self._monotonic()
                self._mean_seconds += _SMOOTHING * (ended - started - self._mean_seconds)
                if slot.used is not None:
                    state.rates.adjust(slot.used - tokens, ended)
                self._leave()
        finally:
            state.accepted -= 1
            if not self._running and not self._queue:
                self._idle.set()

    async def _turn(self, tenant: str, tokens: int) -> None:
        """Return once the request holds a place."""
        if self._running < self._limits.max_concurrent_requests and not self._queue:
            self._running += 1
            return
        entry = self._queue.push(tenant, tokens)
        turn = self._turns[entry] = asyncio.get_running_loop().create_future()
        try:
            await turn
        except asyncio.CancelledError:
            if self._turns.pop(entry, None) is not None:
                self._queue.remove(entry)
            elif not turn.cancelled():
                self._leave()  # its turn came in the very moment in which its client left
            raise

    def _leave(self) -> None:
        """Pass a place on."""
        self._running -= 1
        while self._queue and self._running < self._limits.max_concurrent_requests:
            turn = self._turns.pop(self._queue.pop())
            if not turn.done():  # cancelled, and about to find out
                self._running += 1
                turn.set_result(None)

    def _refuse_while_draining(self) -> None:
        if self._draining:
            raise Draining("This replica is shutting down; try again, another one will answer.", retry_after=1)

    def _refuse_by_budget(self, tenant: Tenant) -> None:
        budget = tenant.budget
        if budget is not None and budget.state is BudgetState.EXHAUSTED:
            raise BudgetExhausted(
                f"The monthly budget of {budget.monthly} {budget.currency} is spent. "
                "Ask whoever runs this service to raise it, or wait for the next month (UTC).",
                retry_after=_seconds_to_next_month(self._now()),
            )

    def _refuse_by_limits(self, tenant: Tenant, state: _TenantState, tokens: int, now: float) -> None:
        limits = tenant.limits
        if limits.concurrency is not None and state.accepted >= limits.concurrency:
            raise RateLimited(
                f"The limit of {limits.concurrency} requests at once is reached; wait for one of them to end.",
                retry_after=self._mean_seconds / limits.concurrency,
            )
        wait = state.rates.wait_for_request(now)
        if wait > 0:
            raise RateLimited(
                f"The limit of {limits.requests_per_minute} requests per minute is reached; "
                f"try again in {wait:.1f} seconds.",
                retry_after=wait,
            )
        wait = state.rates.wait_for_tokens(tokens, now)
        if wait > 0:
            raise RateLimited(
                f"The limit of {limits.tokens_per_minute} tokens per minute is reached, and this request may use "
                f"{tokens}; try again in {wait:.1f} seconds, or ask for a smaller max_tokens.",
                retry_after=wait,
            )

    def _refuse_when_full(self, tokens: int) -> None:
        limits, queue = self._limits, self._queue
        if self._running < limits.max_concurrent_requests and not queue:
            return
        if len(queue) >= limits.max_queued_requests or queue.tokens + tokens > limits.max_queued_tokens:
            raise Overloaded(
                "This replica is full; try again later.",
                # On average a place gets free after so long.
                retry_after=self._mean_seconds / limits.max_concurrent_requests,
            )


def _seconds_to_next_month(now: datetime) -> float:
    year, month = (now.year + 1, 1) if now.month == 12 else (now.year, now.month + 1)  # noqa: PLR2004 - December
    return (datetime(year, month, 1, tzinfo=UTC) - now).total_seconds()
