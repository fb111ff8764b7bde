"""What a service's load asks of its fleet, in slots: requests that run at once. Pure.

A slot is one of a replica's `requestsPerReplica` places to run. By Little's law (J. D. C. Little, Operations Research
9, 1961) arrivals by seconds of a request is the number of slots that a load will fill, before it has filled them: a
shift to thinking shows here a minute or two before it shows in what is in flight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kat.usage_event import Mode
from kat_operator.autoscaler.observation import ModeSignals, Signals

PRIOR_TOKENS: Final[Mapping[Mode, float]] = {Mode.ON: 2_000.0, Mode.OFF: 50.0}
"""Completion tokens of a request, until one of its mode has ended: the figures that the KAT-V1-40B introduction cites
for HumanEval (about 2k, thinking) and for a question of general knowledge (about 50, not thinking)."""

PRIOR_SECONDS_PER_TOKEN: Final = 0.05
"""Until tokens have been timed: the same introduction's 300 thinking tokens in 15 s."""

PRIOR_THINK_ON_SHARE: Final = 0.348
"""Until requests have come: the share of thinking data in the model's training mix (arXiv 2507.08297)."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What the load asks for now, in slots, and the figures that this came from."""

    in_flight: float
    arriving: float
    """Arrivals times expected seconds, over the modes."""
    placeless: float
    """What would run on top, had it not come to a full fleet."""
    queued: float
    request_seconds: float
    """Expected duration of a request of today's mix, once it runs."""
    think_on_share: float

    @property
    def busy(self) -> bool:
        return self.in_flight > 0 or self.arriving > 0 or self.placeless > 0 or self.queued > 0


def measure(signals: Signals, *, queue_growth: float = 0.0) -> Demand:
    """Read the demand out of the signals.

    Args:
        signals: The load.
        queue_growth: Requests a second by which the queue grows. On a full fleet no more are seen to run, and no more
            to be decided, than before: what a load has on top shows in nothing but its queue and its refusals.
    """
    seconds = {mode: expected_seconds(mode, signals) for mode in (Mode.ON, Mode.OFF)}
    share = signals.think_on_share
    think_on = PRIOR_THINK_ON_SHARE if share is None else share
    request_seconds = think_on * seconds[Mode.ON] + (1.0 - think_on) * seconds[Mode.OFF]
    placeless = (max(0.0, queue_growth) + signals.rejected_per_second) * request_seconds
    arriving = sum(_of(signals, mode).arrivals_per_second * seconds[mode] for mode in seconds)
    return Demand(
        in_flight=signals.in_flight,
        arriving=arriving,
        placeless=placeless,
        queued=signals.queued,
        request_seconds=request_seconds,
        think_on_share=think_on,
    )


def expected_seconds(mode: Mode, signals: Signals) -> float:
    """Seconds that a request of this mode runs, once it does.

    Tokens times seconds per token, because that follows a crowded fleet at once and holds no wait in a queue, which the
    measured duration does; what the prompt takes on top is seen in what is in flight. The duration stands in where
    tokens are not known or not timed yet, priors where nothing is.
    """
    of_mode = _of(signals, mode)
    if of_mode.seconds_per_request is not None and (
        of_mode.tokens_per_request is None or signals.seconds_per_token is None
    ):
        return of_mode.seconds_per_request
    tokens = PRIOR_TOKENS[mode] if of_mode.tokens_per_request is None else of_mode.tokens_per_request
    return tokens * (PRIOR_SECONDS_PER_TOKEN if signals.seconds_per_token is None else signals.seconds_per_token)


def _of(signals: Signals, mode: Mode) -> ModeSignals:
    return signals.modes.get(mode, _NOTHING)


_NOTHING: Final = ModeSignals()
