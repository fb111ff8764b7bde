"""Who used how much of the engine's busy time, seen from outside of its scheduler."""

from __future__ import annotations

from collections.abc import Callable


class BusyTime:
    """Splits busy time equally among the calls that run at each moment.

    vLLM computes the tokens of all running calls in one step and tells no costs per call, so equal parts are the
    finest split that can be defended. The parts of all calls add up to `seconds` exactly: time in which any call
    runs belongs to the calls that run then, idle time to nobody.

    Works as a virtual clock that runs at speed 1/n while n calls run, so that joining, leaving and reading a part
    take constant time however many calls there are.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._read_at = now()
        self._virtual = 0.0
        self._running = 0
        self.seconds = 0.0
        """Busy time so far; up to date when a call last joined, left or read its part."""

    def join(self) -> Share:
        """A call begins to run."""
        self._advance()
        self._running += 1
        return Share(self)

    def _advance(self) -> float:
        now = self._now()
        if self._running:
            passed = now - self._read_at
            self.seconds += passed
            self._virtual += passed / self._running
        self._read_at = now
        return self._virtual

    def _leave(self) -> None:
        self._running -= 1


class Share:
    """One call's part."""

    def __init__(self, busy: BusyTime) -> None:
        self._busy = busy
        self._taken_at = busy._virtual  # noqa: SLF001 - two halves of one thing
        self._left_at: float | None = None

    def take(self) -> float:
        """Seconds of the call since the last time of asking."""
        at = self._busy._advance() if self._left_at is None else self._left_at  # noqa: SLF001
        part, self._taken_at = at - self._taken_at, at
        return part

    def stop(self) -> None:
        """The call runs no longer. Stopping twice is no harm; what it is owed can still be taken."""
        if self._left_at is None:
            self._left_at = self._busy._advance()  # noqa: SLF001
            self._busy._leave()  # noqa: SLF001
