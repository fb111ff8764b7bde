"""A clock that stands still until it is told to go on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

START = datetime(2026, 3, 15, 12, 0, tzinfo=UTC)


class Clock:
    """Seconds since the test began, and the matching wall clock."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def time(self) -> float:
        return self.now().timestamp()

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
