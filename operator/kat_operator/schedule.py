"""When each service is looked at next. Pure: times come in as arguments.

A tick is the truth: every service comes due with each of its intervals, whatever happened. A watch only brings it
forward. Ticks of one interval fall together, so that their signals are read in one go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import floor
from typing import Final

from kat_operator.kinds import Key

_GAP_SECONDS: Final = 0.25
"""Least time between two looks at one service: a fleet that starts changes hundreds of times a second."""
_FIRST_BACKOFF_SECONDS: Final = 1.0


@dataclass(slots=True)
class _Entry:
    due: float
    ended: float = float("-inf")
    running: bool = False
    woken: bool = False
    failures: int = 0


class Schedule:
    """Who is due. One look at a service at a time; waking it meanwhile brings one more afterwards."""

    def __init__(self, *, longest_backoff_seconds: float, jitter: Callable[[], float]) -> None:
        self._longest = longest_backoff_seconds
        self._jitter = jitter
        self._entries: dict[Key, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, key: Key, now: float) -> None:
        """Make sure that the service is looked at, at once where it is new."""
        self._entries.setdefault(key, _Entry(now))

    def wake(self, key: Key, now: float) -> None:
        """Something of the service changed. A service that failed keeps to its backoff."""
        entry = self._entries.get(key)
        if entry is None or entry.failures:
            return
        if entry.running:
            entry.woken = True
        else:
            entry.due = min(entry.due, max(now, entry.ended + _GAP_SECONDS))

    def remove(self, key: Key) -> None:
        self._entries.pop(key, None)

    def all_due(self, now: float) -> None:
        """Everything is looked at now, failed or not."""
        for entry in self._entries.values():
            entry.due, entry.failures = now, 0

    def begin(self, now: float) -> Iterator[Key]:
        """Services that are due; each is taken to be looked at until `end`."""
        for key, entry in self._entries.items():
            if not entry.running and entry.due <= now:
                entry.running, entry.woken = True, False
                yield key

    def end(self, key: Key, now: float, *, interval: float, failed: bool) -> None:
        """The look is over."""
        entry = self._entries.get(key)
        if entry is None:
            return
        entry.running, entry.ended = False, now
        if failed:
            wait = min(self._longest, _FIRST_BACKOFF_SECONDS * 2.0**entry.failures)
            entry.failures = min(entry.failures + 1, 30)
            entry.due = now + wait * (0.5 + self._jitter() / 2)
            return
        entry.failures = 0
        entry.due = (floor(now / interval) + 1) * interval
        if entry.woken:
            entry.due = min(entry.due, now + _GAP_SECONDS)

    def next_due(self) -> float | None:
        """When something comes due next; None where nothing waits."""
        return min((entry.due for entry in self._entries.values() if not entry.running), default=None)
