"""The time that a board looks at, and the moments within it that are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self

_POINTS: Final = 180
"""Of a line, at most: more than a screen's width tells apart are of no use."""
_SAMPLES_OF_A_RATE: Final = 4
"""Scrapes within a rate's window, as Grafana has them: one may fail, and two are still left."""


@dataclass(frozen=True, slots=True)
class Window:
    """Moments from `start` to `end`, `step` apart."""

    start: datetime
    end: datetime
    step: timedelta
    scrape_interval: timedelta

    @classmethod
    def until(cls, end: datetime, length: timedelta, *, scrape_interval: timedelta) -> Self:
        """The window of this length; steps are whole scrapes, so that no two moments find the same sample."""
        scrapes = max(1, -(-length // (_POINTS * scrape_interval)))
        step = scrapes * scrape_interval
        count = max(1, length // step)
        return cls(end - count * step, end, step, scrape_interval)

    @property
    def length(self) -> timedelta:
        return self.end - self.start

    @property
    def moments(self) -> tuple[datetime, ...]:
        return tuple(self.start + number * self.step for number in range(self.length // self.step + 1))

    @property
    def rate_interval(self) -> str:
        """Grafana's `$__rate_interval`."""
        longest = max(self.step + self.scrape_interval, _SAMPLES_OF_A_RATE * self.scrape_interval)
        return f"{round(longest.total_seconds() * 1000)}ms"

    def place(self, timestamp: float) -> int:
        """Which of the moments is this one, in seconds since 1970."""
        return round((datetime.fromtimestamp(timestamp, UTC) - self.start) / self.step)
