"""Who may start now, who waits, who is refused; all of it before the engine does any work.

async with admission.admit(caller, tokens=prompt_tokens + max_tokens) as slot:
    ...
    slot.settle(tokens_really_used)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from kat.directory import Budget, BudgetState, Limits, Tenant
from kat_predictor.errors import BudgetExhausted, Draining, Overloaded, RateLimited
from kat_predictor.fair_queue import Entry, FairQueue
from kat_predictor.rate_limits import RateLimits
from kat_predictor.tenants import Caller, utc_now

_NO_LIMITS: Final = Limits()
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


class _Load:
    """What a tenant, or one of its keys, asks of this replica."""

    __slots__ = ("accepted", "rates")

    def __init__(self) -> None:
        self.rates = RateLimits()
        self.accepted = 0
        """Requests that run or wait."""


@dataclass(frozen=True, slots=True)
class _Gate:
    """Limits that a request must pass, and what they have let through already."""

    whose: str
    limits: Limits
    load: _Load


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
        self._loads: dict[str | UUID, _Load] = {}
        """By tenant, and by key where it has limits of its own."""
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
            BudgetExhausted: The monthly budget of the tenant or of the key is spent.
            RateLimited: The tenant or the key is at one of its limits.
            Overloaded: The replica and its queue are full.
        """
        tenant = caller.tenant
        now = self._monotonic()
        gates = self._gates(caller, now)
        loads = [gate.load for gate in gates]
        # Nothing is taken before every check has passed: a refusal costs the tenant none of its limits.
        self._refuse_while_draining()
        self._refuse_by_budget(tenant.budget, "")
        self._refuse_by_budget(caller.key.budget, " of this API key")
        self._refuse_by_limits(gates, tokens, now)
        self._refuse_when_full(tokens)
        for load in loads:
            load.rates.take(tokens, now)
            load.accepted += 1
        self._idle.clear()
        try:
            try:
                await self._turn(tenant, tokens)
            except asyncio.CancelledError:
                for load in loads:
                    load.rates.undo(tokens, self._monotonic())
                raise
            slot = Slot()
            started = self._monotonic()
            try:
                yield slot
            finally:
                ended = self._monotonic()
                self._mean_seconds += _SMOOTHING * (ended - started - self._mean_seconds)
                if slot.used is not None:
                    for load in loads:
                        load.rates.adjust(slot.used - tokens, ended)
                self._leave()
        finally:
            for load in loads:
                load.accepted -= 1
            if not self._running and not self._queue:
                self._idle.set()

    async def _turn(self, tenant: Tenant, tokens: int) -> None:
        """Return once the request holds a place."""
        if self._running < self._limits.max_concurrent_requests and not self._queue:
            self._running += 1
            return
        entry = self._queue.push(tenant.id, tokens, float(tenant.weight))
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

    def _gates(self, caller: Caller, now: float) -> list[_Gate]:
        """The tenant's limits, then the key's. A key without any leaves no trace here."""
        gates = [_Gate("", caller.tenant.limits, self._loads.setdefault(caller.tenant.id, _Load()))]
        key = caller.key
        if key.limits != _NO_LIMITS or key.id in self._loads:
            gates.append(_Gate(" of this API key", key.limits, self._loads.setdefault(key.id, _Load())))
        for gate in gates:
            gate.load.rates.follow(gate.limits, now)
        return gates

    def _refuse_by_budget(self, budget: Budget | None, whose: str) -> None:
        if budget is not None and budget.state is BudgetState.EXHAUSTED:
            raise BudgetExhausted(
                f"The monthly budget{whose} of {budget.monthly} {budget.currency} is spent. "
                "Ask whoever runs this service to raise it, or wait for the next month (UTC).",
                retry_after=_seconds_to_next_month(self._now()),
            )

    def _refuse_by_limits(self, gates: Sequence[_Gate], tokens: int, now: float) -> None:
        """Refuse by the limit that takes longest to open again: a client told a shorter time would be refused again."""
        refusals = [refusal for gate in gates if (refusal := self._refusal(gate, tokens, now)) is not None]
        if refusals:
            raise max(refusals, key=lambda refusal: refusal.retry_after or 0)

    def _refusal(self, gate: _Gate, tokens: int, now: float) -> RateLimited | None:
        limits, load, whose = gate.limits, gate.load, gate.whose
        if limits.concurrency is not None and load.accepted >= limits.concurrency:
            return RateLimited(
                f"The limit of {limits.concurrency} requests at once{whose} is reached; wait for one of them to end.",
                retry_after=self._mean_seconds / limits.concurrency,
            )
        wait = load.rates.wait_for_request(now)
        if wait > 0:
            return RateLimited(
                f"The limit of {limits.requests_per_minute} requests per minute{whose} is reached; "
                f"try again in {wait:.1f} seconds.",
                retry_after=wait,
            )
        wait = load.rates.wait_for_tokens(tokens, now)
        if wait > 0:
            return RateLimited(
                f"The limit of {limits.tokens_per_minute} tokens per minute{whose} is reached, and this request may use "
                f"{tokens}; try again in {wait:.1f} seconds, or ask for a smaller max_tokens.",
                retry_after=wait,
            )
        return None

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
