"""Whether vLLM gets on with its work, seen from outside of its scheduler."""

from __future__ import annotations

from collections.abc import Callable


class Progress:
    """Tells a scheduler that hangs from one that is busy, and from one that has nothing to do.

    vLLM reports after each of its steps, also after those that read no more than a part of a long prompt. So the time
    between two reports says nothing about how long requests are, and a limit on it can be short.

    With data parallelism any scheduler's report counts: a hang shows once all of them stand still.

    Args:
        stall_seconds: A step takes no longer than this.
        now: Monotonic seconds.
    """

    def __init__(self, stall_seconds: float, now: Callable[[], float]) -> None:
        self.stall_seconds = stall_seconds
        self._now = now
        self._moved_at = now()

    def begin(self, *, at_work: bool) -> None:
        """A call is handed over, to a scheduler that was at work already or had nothing to do."""
        if not at_work:
            self._moved_at = self._now()

    def step(self) -> None:
        """A step is done."""
        self._moved_at = self._now()

    def stalled(self, *, at_work: bool) -> bool:
        """Whether a scheduler with work to do has stood still for too long. True no more once it goes on."""
        return at_work and self._now() - self._moved_at > self.stall_seconds
