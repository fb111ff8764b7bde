"""The activator's wishes for one service, on a clock of the test's."""

from __future__ import annotations

from kat_operator.activator import Wishes
from kat_operator.kinds import Key
from tests.fakes.clock import Clock

KAT = Key("llm", "kat")


def wishes_for_kat(clock: Clock, woken: list[Key]) -> Wishes:
    """A replica of it takes 240 s to start; `woken` gets who is wished for."""
    wishes = Wishes(on_wish=woken.append, monotonic=clock.monotonic)
    wishes.expect(KAT, startup_seconds=240)
    return wishes
