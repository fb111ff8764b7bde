"""Rates of one replica's counters, from one look at them after another. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

from kat_operator.autoscaler.series import SOURCES, Samples, Series, Signal, Window

_LOOKS_PER_WINDOW: Final = 6
MIN_SPAN_SECONDS: Final = 10.0
"""A rate over less than this is mostly chance."""


class CounterHistory:
    """What a replica said over the last half hour, thinned out: a few looks for each window."""

    def __init__(self) -> None:
        self._last: Samples | None = None
        self._grown: dict[Series, float] = {}
        """Growth since the first look; a counter that began again goes on from where it was."""
        self._looks: dict[Window, deque[tuple[float, dict[Series, float]]]] = {window: deque() for window in Window}

    def add(self, at: float, samples: Samples) -> None:
        """Take down a look.

        Args:
            at: Seconds of a clock that never goes back.
            samples: Counters and gauges as they stood.
        """
        if self._last is not None:
            self._grow(self._last, samples)
        self._last = samples
        for window, looks in self._looks.items():
            while looks and at - looks[0][0] > window.value:
                looks.popleft()
            if not looks or at - looks[-1][0] >= window.value / _LOOKS_PER_WINDOW:
                looks.append((at, self._grown))

    def rates(self, at: float) -> dict[Series, float] | None:
        """Gauges as they stood at the last look, counters per second; None until there is time enough between looks.

        Args:
            at: When the last look was.
        """
        if self._last is None:
            return None
        spans = {window: at - looks[0][0] if looks else 0.0 for window, looks in self._looks.items()}
        if min(spans.values()) < MIN_SPAN_SECONDS:
            return None
        rates = {Series(Signal.AGE): 0.0}
        for series, value in self._last.items():
            window = SOURCES[series.signal].window
            if window is None:
                rates[series] = value
            else:
                # Also of those that stand still: a quantile needs the empty buckets.
                _, before = self._looks[window][0]
                rates[series] = (self._grown.get(series, 0.0) - before.get(series, 0.0)) / spans[window]
        return rates

    def _grow(self, before: Samples, now: Samples) -> None:
        growth = {
            series: value - before.get(series, 0.0) if value >= before.get(series, 0.0) else value
            for series, value in now.items()
            if SOURCES[series.signal].window is not None and value != before.get(series, 0.0)
        }
        if growth:
            # A new one each time: the looks hold the old ones.
            self._grown = {**self._grown, **{key: self._grown.get(key, 0.0) + more for key, more in growth.items()}}
