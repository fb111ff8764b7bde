"""What a service's demand was over the last hours, and what that says of the next minutes. Pure.

A replica that is asked for now serves in minutes. So the question is never what the load is, but what it will be when
the replica is there: by its trend where it climbs, by its own past where the same burst keeps coming back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

BUCKET_SECONDS: Final = 15.0
LEAST_SECONDS: Final = 1_800.0
"""What is kept though no surge is remembered: trends look back ten minutes, the latency law as long as an answer took."""

TREND_SECONDS: Final = (180.0, 600.0)
"""A trend is fitted over two spans: a steep ramp shows within the shorter, a slow climb only over the longer."""
_TREND_BUCKETS: Final = 8
"""Fewer points than two minutes of them carry no trend."""
_ALIKE: Final = 4.0
"""Rates over the last minute, read every quarter of one: so many readings are worth one."""
_CONFIDENCE: Final = 3.0
"""Standard errors that are taken off a slope: noise at constant load must not look like a climb."""
_DAMPING: Final = 0.8
"""A climb slows down more often than not (E. S. Gardner, E. McKenzie, Management Science 31, 1985: damped trends)."""

_SERVED: Final = 0.97
"""Share of the past demand that a reserve is made for: the rest are peaks that would cost more than they serve. In the
simulator 0.99 takes up to a tenth more GPU-hours and attains no more on most traces."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A quarter of a minute."""

    start: float
    slots: float
    """The most that was asked for in it."""
    arriving: float
    """The same by arrivals alone: less noisy than what is in flight, and ahead of it."""
    ready: int
    """The fewest replicas that served in it."""


History = tuple[Bucket, ...]
"""Oldest first; of one length of time each, with gaps where nothing was known."""


def record(
    history: History, at: float, *, slots: float, arriving: float, ready: int, memory: float = LEAST_SECONDS
) -> History:
    """Add one reading, and forget what is older than `memory` seconds, or than half an hour where that is longer."""
    start = at - at % BUCKET_SECONDS
    if history and history[-1].start >= start:
        last = history[-1]
        merged = Bucket(last.start, max(last.slots, slots), max(last.arriving, arriving), min(last.ready, ready))
        return (*history[:-1], merged)
    oldest = start - max(memory, LEAST_SECONDS)
    kept = history if not history or history[0].start >= oldest else tuple(b for b in history if b.start >= oldest)
    return (*kept, Bucket(start, slots, arriving, ready))


def since(history: History, start: float) -> Sequence[Bucket]:
    """The buckets that begin then or later."""
    index = len(history)
    while index and history[index - 1].start >= start:
        index -= 1
    return history[index:]


def climb(history: History, at: float) -> float | None:
    """Slots a second by which demand may be trusted to climb; None where it does not, or too little is known.

    The steeper of two least-squares lines, each slope less its error, damped.
    """
    slopes = [_trusted_slope(since(history, at - seconds)) for seconds in TREND_SECONDS]
    steepest = max(slopes)
    return _DAMPING * steepest if steepest > 0 else None


def _trusted_slope(points: Sequence[Bucket]) -> float:
    count = len(points)
    if count < _TREND_BUCKETS:
        return 0.0
    mean_start = sum(point.start for point in points) / count
    mean = sum(point.arriving for point in points) / count
    spread = sum((point.start - mean_start) ** 2 for point in points)
    slope = sum((point.start - mean_start) * (point.arriving - mean) for point in points) / spread
    if slope <= 0:
        return 0.0
    squares = sum((point.arriving - mean - slope * (point.start - mean_start)) ** 2 for point in points)
    return slope - _CONFIDENCE * sqrt(squares / (count - 2) / spread * _ALIKE)


@dataclass(frozen=True, slots=True)
class Surge:
    """What the demand of the past hours has shown that it can do."""

    rise: float
    """Slots by which it rose within one start-up time, at most."""
    level: float
    """Slots that covered nearly all of it."""


def surge(history: Sequence[Bucket], horizon: float) -> Surge | None:
    """How fast and how high the demand rose; None where too little is known."""
    ahead = round(horizon / BUCKET_SECONDS)
    if len(history) <= ahead:
        return None
    slots = [bucket.slots for bucket in history]
    level = _covering(slots)
    return Surge(rise=_rise([min(each, level) for each in slots], ahead), level=level)


def _rise(slots: Sequence[float], ahead: int) -> float:
    lowest: deque[int] = deque()
    rise = 0.0
    for index, now in enumerate(slots):
        # The candidates for the lowest of the last `ahead` readings, ascending.
        while lowest and slots[lowest[-1]] >= now:
            lowest.pop()
        lowest.append(index)
        if lowest[0] < index - ahead:
            lowest.popleft()
        rise = max(rise, now - slots[lowest[0]])
    return rise


def _covering(slots: Sequence[float]) -> float:
    """The level above which the rest of the demand was."""
    above, excess = 0.0, (1.0 - _SERVED) * sum(slots)
    descending = sorted(slots, reverse=True)
    for count, (level, lower) in enumerate(zip(descending, [*descending[1:], 0.0], strict=True), start=1):
        if above + count * (level - lower) >= excess:
            return level - (excess - above) / count
        above += count * (level - lower)
    return 0.0
