"""What a service's decisions remember of the ones before. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import exp, inf
from typing import Final

from kat_operator.api import AutoscalingSpec
from kat_operator.autoscaler import history
from kat_operator.autoscaler.demand import Demand
from kat_operator.autoscaler.history import History, Surge
from kat_operator.autoscaler.observation import Observation, Signals

_SMOOTHING_SECONDS: Final = 30.0
"""Time constant of the average of what is in flight: then it is as old, on average, as a rate over the last minute."""

_GAP: Final = 0.2
"""Signals that were missing for more than this share of the window leave the window unseen: it starts anew."""

_GROWTH_SECONDS: Final = 15.0
"""Over which a queue's growth is taken: three decisions by default."""

PARTS_OF_WINDOW: Final = 30
"""The window's needs are kept as so many maxima; it is longer than asked by at most one of them."""

_LEAD: Final = 1.5
"""Start-ups that are looked ahead: some take longer than the mean, and the last of them ends the shortage."""

_REGRET_SECONDS: Final = 3_600.0
"""A step down that had to be taken back within an hour is not tried again for two."""


@dataclass(frozen=True, slots=True)
class PolicyState:
    """What a service's decisions remember. A new one is safe: it scales down nothing before a whole window is seen."""

    seen_since: float | None = None
    """Since when signals have come without a gap."""
    seen_at: float | None = None
    """When signals came last."""
    in_flight: float = 0.0
    """Requests in flight, smoothed."""
    placeless: float = 0.0
    """Slots for what found no place, smoothed."""
    arriving: float = 0.0
    """Slots that the arrivals will fill, with those that found no place."""
    history: History = field(default=(), repr=False)
    surge: Surge | None = None
    """What demand has shown that it can do."""
    climb: float | None = None
    """Slots a second by which demand climbs."""
    queues: tuple[tuple[float, float], ...] = field(default=(), repr=False)
    """When the last minute's queues were seen, and how long they were."""
    needs: tuple[tuple[float, float], ...] = field(default=(), repr=False)
    """Starts of the parts of the window, and the most replicas that were needed in each."""
    active_at: float | None = None
    """When a request was last seen or known of."""
    shrunk_at: float = -inf
    """When a replica was last given back."""
    shrunk_from: int = 0
    """How many there were before."""
    regretted: int = 0
    """How many there were before a step down that had to be taken back."""
    regret_until: float = -inf

    @property
    def slots(self) -> float:
        """The demand: what is in flight, or will be by the arrivals."""
        return max(self.in_flight + self.placeless, self.arriving)


def queue_growth(state: PolicyState, at: float, signals: Signals) -> tuple[float, PolicyState]:
    """Requests a second by which the queue has grown, over the time that is looked back on."""
    queues = (*(each for each in state.queues if at - each[0] <= _GROWTH_SECONDS), (at, signals.queued))
    then, queued = queues[0]
    growth = (signals.queued - queued) / (at - then) if at > then else 0.0
    return growth, replace(state, queues=queues)


def seen(autoscaling: AutoscalingSpec, state: PolicyState, observation: Observation, measured: Demand) -> PolicyState:
    at = observation.at
    longest_gap = max(_GAP * autoscaling.scale_down_window_seconds, 2 * autoscaling.interval_seconds)
    in_flight, placeless, seen_since = measured.in_flight, measured.placeless, at
    if state.seen_at is not None and state.seen_since is not None and at - state.seen_at <= longest_gap:
        seen_since = state.seen_since
        fresh = 1.0 - exp((state.seen_at - at) / _SMOOTHING_SECONDS)
        in_flight = state.in_flight + fresh * (in_flight - state.in_flight)
        placeless = state.placeless + fresh * (placeless - state.placeless)
    active_at = state.active_at
    if measured.busy:
        active_at = at
    elif observation.since_last_request is not None:
        active_at = max(at - observation.since_last_request, -inf if active_at is None else active_at)
    elif active_at is None:
        active_at = at
    state = replace(
        state,
        seen_since=seen_since,
        seen_at=at,
        in_flight=in_flight,
        placeless=placeless,
        arriving=measured.arriving + placeless,
        active_at=active_at,
    )
    if state.history and at - state.history[-1].start < history.BUCKET_SECONDS:
        return state
    # Only a finished bucket tells anything new.
    return replace(
        state,
        surge=history.surge(
            history.since(state.history, at - autoscaling.surge_memory_seconds), horizon(autoscaling, observation)
        ),
        climb=history.climb(state.history, at),
    )


def horizon(autoscaling: AutoscalingSpec, observation: Observation) -> float:
    """Seconds until a replica that is asked for now serves."""
    startup = observation.startup_seconds
    return _LEAD * (autoscaling.startup_seconds if startup is None else startup) + autoscaling.interval_seconds


def needs_with(
    autoscaling: AutoscalingSpec, needs: tuple[tuple[float, float], ...], at: float, need: float
) -> tuple[tuple[float, float], ...]:
    """The window's needs with this one: starts of its parts and the most that was needed in each."""
    width = autoscaling.scale_down_window_seconds / PARTS_OF_WINDOW
    start = at - at % width
    if needs and needs[-1][0] >= start:
        return (*needs[:-1], (needs[-1][0], max(needs[-1][1], need)))
    oldest = at - autoscaling.scale_down_window_seconds - width
    return (*(part for part in needs if part[0] > oldest), (start, need))


def stepped(state: PolicyState, observation: Observation, target: int) -> PolicyState:
    """What the step means for the next ones."""
    at, current = observation.at, observation.current
    if target < current:
        return replace(state, shrunk_at=at, shrunk_from=current if observation.starting == 0 else state.shrunk_from)
    if current < target and current < state.shrunk_from <= target and at < state.shrunk_at + _REGRET_SECONDS:
        return replace(state, regretted=state.shrunk_from, regret_until=at + 2 * _REGRET_SECONDS, shrunk_from=0)
    return state
