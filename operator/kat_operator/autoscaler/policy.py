"""How many replicas a service asks for. Pure: spec, what was seen before and what is seen now, to a decision.

The largest wish of the laws is what is needed. Up at once, by as much as is needed; down one at a time, when nothing
within the window needed the replica that goes. Then the bounds: the spec's fewest and most, and what the pools can
schedule. Without signals what runs is held, as far as `replicas.max` allows.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil, sqrt
from typing import Final

from kat_operator.api import AutoscalingSpec, ReplicasSpec
from kat_operator.autoscaler import demand, history, laws
from kat_operator.autoscaler.demand import Demand
from kat_operator.autoscaler.memory import (
    PARTS_OF_WINDOW,
    PolicyState,
    horizon,
    needs_with,
    queue_growth,
    seen,
    stepped,
)
from kat_operator.autoscaler.observation import Decision, Observation, Signals, Wish
from kat_operator.autoscaler.reason import REASON_OF_LAW, SAYS, Reason

__all__ = ["PolicyState", "Reason", "decide"]

_BAND: Final = 0.1
"""Share of the fleet that a wish must exceed it by. The headroom of the target utilisation takes up what is less."""

_STEPS_PER_WINDOW: Final = 5
"""A small fleet gives back five replicas in a window at most, a large one half of itself."""

_UNSTARTED_SECONDS: Final = 150.0
"""A replica that does not serve yet goes when so long nothing needed it: half the default window, since nobody would miss it."""

_REGRETTED: Final = 0.8
"""Unless this share of what would be left is enough."""

_DOWN: Final = 0.95
"""Share of what would be left that the load may be: requests run slower side by side, so fewer replicas make more load."""

_EPSILON: Final = 1e-9


_Step = tuple[int, Reason, tuple[str, ...]]
"""Replicas, why, and what changed the largest wish."""


def decide(
    autoscaling: AutoscalingSpec, replicas: ReplicasSpec, state: PolicyState, observation: Observation
) -> tuple[Decision, PolicyState]:
    """The decision of one service at one moment, and what to hand in at the next."""
    if observation.wanted_by_activator:
        state = replace(state, active_at=observation.at)
    if observation.signals is None:
        return _without_signals(replicas, observation), state
    growth, state = queue_growth(state, observation.at, observation.signals)
    measured = demand.measure(observation.signals, queue_growth=growth)
    state = seen(autoscaling, state, observation, measured)
    floor = _floor(autoscaling, replicas, state, observation)
    # What the past says is read off before this moment joins it: so more load now never asks for less.
    wishes = _wishes(autoscaling, state, observation, observation.signals, measured, idle=floor == 0)
    top = laws.largest(wishes)
    need = top.replicas if top else 0.0
    state = replace(
        state,
        history=history.record(
            state.history,
            observation.at,
            slots=_asked(autoscaling, state, observation, measured, wishes),
            arriving=state.arriving,
            ready=observation.ready,
            memory=autoscaling.surge_memory_seconds,
        ),
        needs=needs_with(autoscaling, state.needs, observation.at, need),
    )
    target, reason, bounds = _step(autoscaling, state, observation, top, floor)
    target, reason, bounds = _bounded(target, reason, bounds, floor=floor, most=replicas.max, observation=observation)
    decision = Decision(target, reason, _message(observation.current, target, reason, top), wishes, bounds)
    return decision, stepped(state, observation, target)


def _floor(autoscaling: AutoscalingSpec, replicas: ReplicasSpec, state: PolicyState, observation: Observation) -> int:
    """Fewest replicas: the spec's, and where that is 0, one until the service has been idle for long enough."""
    floor = min(replicas.min, replicas.max)
    if floor > 0:
        return floor
    quiet_since = observation.at if state.active_at is None else state.active_at
    idle = observation.at - quiet_since >= autoscaling.idle_to_zero_seconds
    # A replica that was just asked for gets to serve whoever it was asked for.
    return 0 if observation.current == 0 or (idle and observation.starting == 0) else 1


def _wishes(
    autoscaling: AutoscalingSpec,
    state: PolicyState,
    observation: Observation,
    signals: Signals,
    measured: Demand,
    *,
    idle: bool,
) -> tuple[Wish, ...]:
    at = observation.at
    wishes = (
        laws.in_flight(state.slots, measured, autoscaling),
        laws.queue(state.slots, measured, autoscaling),
        laws.latency(signals, state.history, at, state.slots + measured.queued, autoscaling),
        laws.kv_cache(signals, autoscaling),
        laws.trend(state.slots, state.climb, horizon(autoscaling, observation), autoscaling),
        None if idle else laws.surge(state.slots, state.surge, autoscaling),
        laws.activator(observation),
    )
    return tuple(wish for wish in wishes if wish is not None)


def _asked(
    autoscaling: AutoscalingSpec,
    state: PolicyState,
    observation: Observation,
    measured: Demand,
    wishes: tuple[Wish, ...],
) -> float:
    """Slots that this moment asked for, to be remembered; more than were filled, where answers began too late."""
    late = max((wish.replicas for wish in wishes if wish.law == "latency"), default=0.0)
    too_few = late * autoscaling.requests_per_replica if late > observation.ready else 0.0
    return max(measured.in_flight + state.placeless, state.slots, too_few)


def _step(
    autoscaling: AutoscalingSpec, state: PolicyState, observation: Observation, top: Wish | None, floor: int
) -> _Step:
    """Where the wishes lead from what was asked for, before the spec's and the pools' bounds."""
    current = observation.current
    need = top.replicas if top else 0.0
    if top is not None and need > current + _band(autoscaling, current):
        return ceil(need - _EPSILON), REASON_OF_LAW[top.law], ()
    if need > current - 1 + _EPSILON:
        return current, Reason.STEADY, ("band",) if need > current else ()
    if current <= floor:
        return current, Reason.IDLE if current == 0 else Reason.MINIMUM, ("min",) if current else ()
    return _down(autoscaling, state, observation.at, current, starting=observation.starting)


def _down(autoscaling: AutoscalingSpec, state: PolicyState, at: float, current: int, *, starting: int) -> _Step:
    window = autoscaling.scale_down_window_seconds
    recent = max(need for start, need in state.needs if start > at - _UNSTARTED_SECONDS - window / PARTS_OF_WINDOW)
    if starting and recent <= current - 1 + _EPSILON:
        # It cuts no request short, and the longer it starts the more it costs.
        return current - 1, Reason.SURPLUS, ("step",) if recent <= current - 2 else ()
    needed = max(need for _, need in state.needs)
    if needed > _DOWN * (current - 1) + _EPSILON or state.seen_since is None or at - state.seen_since < window:
        return current, Reason.WINDOW, ("window",)
    regretted = current <= state.regretted and at < state.regret_until
    if regretted and needed > _REGRETTED * (current - 1):
        return current, Reason.WINDOW, ("regret",)
    spacing = window / max(_STEPS_PER_WINDOW, current / 2)
    if at - state.shrunk_at < spacing:
        return current, Reason.WINDOW, ("pace",)
    return current - 1, Reason.SURPLUS if current > 1 else Reason.IDLE, ("step",) if needed <= current - 2 else ()


def _band(autoscaling: AutoscalingSpec, current: int) -> float:
    """By how much a wish must exceed what was asked for: a tenth of it, or what chance alone adds.

    Arrivals at random keep a number of requests in flight whose deviation is its square root.
    """
    slots = laws.slots_per_replica(autoscaling)
    return max(_BAND * current, sqrt(current * slots) / slots)


def _bounded(
    target: int, reason: Reason, bounds: tuple[str, ...], *, floor: int, most: int, observation: Observation
) -> _Step:
    """What runs is never cut by the ceiling: only what waits for a node in vain."""
    if target < floor:
        target, reason, bounds = floor, Reason.MINIMUM, (*bounds, "min")
    if target > most:
        target, reason, bounds = most, Reason.MAXIMUM, (*bounds, "max")
    can_run = max(observation.ceiling, observation.ready)
    if target > can_run:
        target, reason, bounds = can_run, Reason.CAPACITY, (*bounds, "ceiling")
    return target, reason, bounds


def _without_signals(replicas: ReplicasSpec, observation: Observation) -> Decision:
    """Hold what was asked for; only the floor and the activator, which need no metrics, may ask for more.

    `replicas.max` goes before the hold: somebody set it who knows that it costs replicas, and needs no metrics for that.
    """
    current = observation.current
    wish = laws.activator(observation)
    floor = min(replicas.min, replicas.max)
    bounds: tuple[str, ...] = ("hold",)
    target, reason = max(current, floor), Reason.METRICS_MISSING
    if current < floor:
        reason, bounds = Reason.MINIMUM, ("min",)
    elif current == 0:
        target, reason, bounds = (1, Reason.ACTIVATOR, ()) if wish else (0, Reason.IDLE, ())
    elif observation.ready == 0:
        reason = Reason.STARTING
    if target > replicas.max:
        target, reason, bounds = replicas.max, Reason.MAXIMUM, (*bounds, "max")
    can_run = max(observation.ceiling, current)
    if target > can_run:
        target, reason, bounds = can_run, Reason.CAPACITY, (*bounds, "ceiling")
    return Decision(target, reason, _message(current, target, reason, wish), () if wish is None else (wish,), bounds)


def _message(current: int, target: int, reason: Reason, top: Wish | None) -> str:
    stays = "1 replica stays" if current == 1 else f"{current} replicas stay"
    change = stays if current == target else f"replicas go from {current} to {target}"
    if top is None:
        return f"{change}: {SAYS[reason]}"
    return f"{change}: {SAYS[reason]}; {top.law} wants {top.replicas:.2f}: {top.because}"
