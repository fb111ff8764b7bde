"""The replicas of a service: which there are, which of them gets a request, and what they cost."""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from math import inf

import numpy as np

from kat_operator.simulation.hardware import Hardware
from kat_operator.simulation.replica import Phase, Replica, Request


class Fleet:
    """A fleet under one router, which sends each request to the ready replica with the fewest of them.

    Which replica goes at scale-down: one that does not serve yet, the youngest first, else the least busy one. It then
    finishes what it has, as `terminationGracePeriodSeconds` allows.
    """

    def __init__(self, hardware: Hardware, *, replicas: int, rng: np.random.Generator) -> None:
        self.hardware = hardware
        self.refused = 0
        """Requests that were refused, ever."""
        self.ready: list[Replica] = []
        self.starting: list[Replica] = []
        self.startup_seconds: list[float] = []
        """Of replicas that started since the beginning."""
        self._loads: list[int] = []
        """Of `ready`, in the same order: the router looks for the smallest at each request."""
        self._draining: list[Replica] = []
        self._gone: list[tuple[float, float]] = []
        """From and until when replicas were there."""
        self._events: list[tuple[float, int, Replica]] = []
        self._rng = rng
        self._names = count(1)
        self._order = count()
        for _ in range(replicas):
            self._add(0.0, ready_at=0.0)
        self.advance(0.0)

    @property
    def size(self) -> int:
        """Replicas asked for."""
        return len(self.ready) + len(self.starting)

    def advance(self, now: float) -> None:
        """Let everything happen that is due up to now."""
        events = self._events
        while events and events[0][0] <= now:
            at, _, replica = heappop(events)
            if replica.next_event != at or replica.phase is Phase.GONE:
                continue
            if replica.phase is Phase.STARTING:
                self._serve(replica)
                continue
            load = replica.load
            replica.handle(at)
            if replica.phase is Phase.READY:
                if replica.load != load:
                    self._loads[self.ready.index(replica)] = replica.load
            elif not replica.load:
                self._leave(replica, at)
                continue
            self._watch(replica)

    def route(self, request: Request) -> None:
        """Send a request where it waits least. The fleet must be at its time."""
        if not self._loads:
            self.refused += 1
            request.refused = True
            return
        load = min(self._loads)
        index = self._loads.index(load)
        replica = self.ready[index]
        replica.advance(request.at)
        if replica.accept(request):
            self._loads[index] = load + 1
            self._watch(replica)
        else:
            self.refused += 1
            request.refused = True

    def scale(self, replicas: int, now: float) -> None:
        """Ask for so many replicas. The fleet must be at this time."""
        while self.size < replicas:
            low, high = self.hardware.startup_seconds
            self._add(now, ready_at=now + float(self._rng.uniform(low, high)))
        while self.size > replicas:
            if self.starting:
                replica = self.starting.pop()
                self._leave(replica, now)
                continue
            index = self._loads.index(min(self._loads))
            replica = self.ready.pop(index)
            self._loads.pop(index)
            replica.phase = Phase.DRAINING
            if replica.load:
                self._draining.append(replica)
            else:
                self._leave(replica, now)

    def replica_seconds(self, start: float, end: float) -> float:
        """How long replicas were there between two times, those that started or drained included."""
        there = [(replica.asked_at, inf) for replica in (*self.ready, *self.starting, *self._draining)]
        return sum(max(0.0, min(until, end) - max(since, start)) for since, until in (*self._gone, *there))

    def in_hand(self) -> int:
        """Requests that run or wait, on replicas that drain too."""
        return sum(replica.load for replica in (*self.ready, *self._draining))

    def _add(self, now: float, *, ready_at: float) -> None:
        replica = Replica(f"replica-{next(self._names)}", self.hardware, asked_at=now, ready_at=ready_at)
        replica.next_event = ready_at
        self.starting.append(replica)
        self._watch(replica)

    def _serve(self, replica: Replica) -> None:
        replica.phase = Phase.READY
        replica.next_event = inf
        if replica.ready_at > replica.asked_at:
            self.startup_seconds.append(replica.ready_at - replica.asked_at)
        self.starting.remove(replica)
        self.ready.append(replica)
        self._loads.append(0)

    def _leave(self, replica: Replica, now: float) -> None:
        replica.phase = Phase.GONE
        self._gone.append((replica.asked_at, now))
        if replica in self._draining:
            self._draining.remove(replica)

    def _watch(self, replica: Replica) -> None:
        if replica.next_event < inf:
            heappush(self._events, (replica.next_event, next(self._order), replica))
