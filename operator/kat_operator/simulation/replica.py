"""One replica as a queue: requests wait, their prompts are read one after the other, their tokens come all at once.

Processor sharing: requests that generate advance at the same rate, which depends on how many they are and on whether a
prompt is being read. So one number, the tokens that each would have got since the start, orders all that will happen,
and nothing need be done token by token.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from heapq import heappop, heappush
from math import inf
from typing import Final

from kat_operator.simulation.hardware import Hardware

_ALMOST: Final = 1e-6
"""Tokens: what rounding may leave of a request that is done."""


class Phase(Enum):
    """Where a replica is in its life."""

    STARTING = auto()
    READY = auto()
    DRAINING = auto()
    """It gets no requests and ends with the last that it has."""
    GONE = auto()


@dataclass(slots=True, eq=False)
class Request:
    """One request and what became of it. Times are seconds of the trace; -1 where it did not come to that."""

    at: float
    prompt_tokens: int
    hidden_tokens: int
    answer_tokens: int
    thinks: bool
    first_token: float = -1.0
    first_answer: float = -1.0
    ended: float = -1.0
    refused: bool = False

    @property
    def tokens(self) -> int:
        """All that it holds in the KV cache at its end."""
        return self.prompt_tokens + self.hidden_tokens + self.answer_tokens


class Replica:
    """One replica. `advance` must be called before anything else looks at it or changes it."""

    def __init__(self, name: str, hardware: Hardware, *, asked_at: float, ready_at: float) -> None:
        self.name = name
        self.asked_at = asked_at
        self.ready_at = ready_at
        self.phase = Phase.STARTING
        self.load = 0
        """Requests that run or wait."""
        self.waiting: deque[Request] = deque()
        self.waiting_tokens = 0
        self.kv_tokens = 0
        """Reserved by requests that run: a request starts when all that it will need is free."""
        self.decoding: list[tuple[float, int, Request]] = []
        self.reading: deque[Request] = deque()
        self.ended: list[Request] = []
        """Requests that ended since somebody last took them away."""
        self.started: list[Request] = []
        """Requests that got their first token since somebody last took them away."""
        self.answered: list[Request] = []
        """Requests whose answer began since somebody last took them away."""
        self.next_event = inf
        self._hardware = hardware
        self._before_answer: list[tuple[float, int, Request]] = []
        self._now = ready_at
        self._service = 0.0
        self._left_to_read = 0.0
        self._decode_rate = 0.0
        self._read_rate = 0.0
        self._reads_next = False
        self._ends_next = False
        self._order = 0

    @property
    def running(self) -> int:
        return len(self.reading) + len(self.decoding)

    @property
    def kv_usage(self) -> float:
        """0 to 1."""
        return self.kv_tokens / self._hardware.kv_tokens

    def generating(self) -> Iterator[Request]:
        """Requests whose mode is known."""
        return (entry[2] for entry in self.decoding)

    def accept(self, request: Request) -> bool:
        """Take a request. False where the queue is full; the replica must be at the request's time."""
        hardware = self._hardware
        if self.waiting or not self._fits(request):
            full = (
                len(self.waiting) >= hardware.max_queued
                or self.waiting_tokens + request.tokens > hardware.max_queued_tokens
                or request.tokens > hardware.kv_tokens
            )
            if full:
                return False
            self.waiting.append(request)
            self.waiting_tokens += request.tokens
            self.load += 1
            return True
        self.load += 1
        self._begin(request)
        self._plan()
        return True

    def advance(self, now: float) -> None:
        """Let time pass, up to the next event at most."""
        passed = now - self._now
        if passed <= 0:
            return
        before = self._service
        self._service = after = before + passed * self._decode_rate
        if self._read_rate:
            self._left_to_read -= passed * self._read_rate
        coming = self._before_answer
        while coming and coming[0][0] <= after:
            mark, _, request = heappop(coming)
            # Rounding may have left the mark a hair before what had passed already.
            request.first_answer = self._now + max(0.0, mark - before) / self._decode_rate
            self.answered.append(request)
        self._now = now

    def handle(self, now: float) -> None:
        """Do what is due at `next_event`, which is now."""
        self.advance(now)
        # What is due is done, even where so little was left that adding it to the time changed nothing.
        if self.reading and (self._reads_next or self._left_to_read <= _ALMOST):
            self._has_read(self.reading.popleft())
            if self.reading:
                self._left_to_read = float(self.reading[0].prompt_tokens)
        done = self._service + _ALMOST
        if self._ends_next:
            done = max(done, self.decoding[0][0])
        while self.decoding and self.decoding[0][0] <= done:
            self._end(heappop(self.decoding)[2])
        while self.waiting and self._fits(self.waiting[0]):
            request = self.waiting.popleft()
            self.waiting_tokens -= request.tokens
            self._begin(request)
        self._plan()

    def _fits(self, request: Request) -> bool:
        return (
            self.running < self._hardware.max_concurrent and self.kv_tokens + request.tokens <= self._hardware.kv_tokens
        )

    def _begin(self, request: Request) -> None:
        self.kv_tokens += request.tokens
        if not self.reading:
            self._left_to_read = float(request.prompt_tokens)
        self.reading.append(request)

    def _has_read(self, request: Request) -> None:
        """Reading a prompt gives the first token."""
        request.first_token = self._now
        self.started.append(request)
        self._order += 1
        if request.hidden_tokens:
            heappush(self._before_answer, (self._service + request.hidden_tokens, self._order, request))
        else:
            request.first_answer = self._now
            self.answered.append(request)
        more = request.hidden_tokens + request.answer_tokens - 1
        heappush(self.decoding, (self._service + more, self._order, request))

    def _end(self, request: Request) -> None:
        if request.first_answer < 0:
            # An answer of one token begins where it ends, and rounding may have left the mark a hair ahead.
            self._before_answer = [entry for entry in self._before_answer if entry[2] is not request]
            self._before_answer.sort(key=lambda entry: entry[:2])
            request.first_answer = self._now
            self.answered.append(request)
        request.ended = self._now
        self.kv_tokens -= request.tokens
        self.load -= 1
        self.ended.append(request)

    def _plan(self) -> None:
        """Rates from now on, and when the next thing happens."""
        hardware = self._hardware
        step = hardware.step_seconds[len(self.decoding)]
        reads_in = ends_in = inf
        if self.reading:
            step += hardware.chunk_tokens / hardware.prefill_tokens_per_second
            self._read_rate = hardware.chunk_tokens / step
            reads_in = self._left_to_read / self._read_rate
        else:
            self._read_rate = 0.0
        if self.decoding:
            self._decode_rate = 1.0 / step
            ends_in = (self.decoding[0][0] - self._service) * step
        else:
            self._decode_rate = 0.0
        self._reads_next = bool(self.reading) and reads_in <= ends_in
        self._ends_next = ends_in < reads_in
        self.next_event = self._now + max(0.0, min(reads_in, ends_in))
