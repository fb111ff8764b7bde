"""The laws of the autoscaler: each says how many replicas one kind of evidence asks for, and why. Pure.

A law answers None where its evidence says nothing. The policy takes the largest wish.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum
from typing import Final

from kat.usage_event import Mode
from kat_operator.api import AutoscalingSpec
from kat_operator.autoscaler import history as past
from kat_operator.autoscaler.demand import Demand
from kat_operator.autoscaler.history import History, Surge
from kat_operator.autoscaler.observation import Observation, Signals, Wish

_LATENCY_SECONDS: Final = 60.0
"""The percentiles are of the last minute."""
_LATENCY_STEP: Final = 1.25
"""A percentile tells that there are too few replicas, hardly how many; so at most a quarter more at once."""
_TREND_LIMIT: Final = 2.0
"""A projection at most doubles the demand of now: beyond that a straight line is a guess."""
_DRAIN_SECONDS: Final = 60.0
"""A queue that is there when replicas come is run off in about the time in which the latency's percentiles forget it."""
_CROWDED: Final = 0.5
"""Below half of the concurrency that a replica is sized for, more replicas make no request faster."""


def in_flight(slots: float, demand: Demand, autoscaling: AutoscalingSpec) -> Wish:
    """As many replicas as run the demand at the target utilisation."""
    return Wish(
        "in_flight",
        slots / slots_per_replica(autoscaling),
        f"{demand.in_flight:.0f} in flight, {demand.arriving:.1f} by arrivals at {demand.think_on_share:.0%} think-on, "
        f"{slots:.1f} smoothed; {slots_per_replica(autoscaling):.1f} a replica",
    )


def queue(slots: float, demand: Demand, autoscaling: AutoscalingSpec) -> Wish | None:
    """Room on top to run the queue off within a minute, where its wait is beyond the objective."""
    more = demand.queued * demand.request_seconds / _DRAIN_SECONDS
    if more <= 0:
        return None
    return Wish(
        "queue",
        (slots + more) / slots_per_replica(autoscaling),
        f"{demand.queued:.0f} queued are run off within {_DRAIN_SECONDS:.0f} s by {more:.1f} more slots",
    )


def latency(signals: Signals, history: History, at: float, slots: float, autoscaling: AutoscalingSpec) -> Wish | None:
    """In proportion to how far the slower mode's 95th percentile is from its objective.

    Only on a crowded fleet: what is slow at low load (long thoughts, a slow disk) no replica would mend. Whoever saw an
    answer in the last minute had come as long before as the percentile says: the fleet is the smallest since then, so
    that replicas which are on their way, or have just come, are not asked for again.
    """
    late = [
        (seconds / objective, mode, seconds, objective)
        for mode, objective in (
            (Mode.ON, autoscaling.objectives.time_to_first_answer_token_on_seconds),
            (Mode.OFF, autoscaling.objectives.time_to_first_answer_token_off_seconds),
        )
        if mode in signals.modes and (seconds := signals.modes[mode].time_to_first_answer_token) is not None
    ]
    if not late:
        return None
    seen = past.since(history, at - _LATENCY_SECONDS - max(late)[2])
    ready = min((bucket.ready for bucket in seen), default=0)
    if not ready or max(slots, *(bucket.slots for bucket in seen)) < _CROWDED * ready * slots_per_replica(autoscaling):
        return None
    ratio, mode, seconds, objective = max(late)
    return Wish(
        "latency",
        ready * min(ratio, _LATENCY_STEP),
        f"95 % of think-{mode} see their answer within {seconds:.2f} s of {objective:g} s, on {ready} replicas",
    )


def kv_cache(signals: Signals, autoscaling: AutoscalingSpec) -> Wish | None:
    """As many replicas as hold the cached keys and values at the target usage."""
    used = fsum(replica.kv_cache_usage for replica in signals.replicas)
    if used <= 0:
        return None
    return Wish(
        "kv_cache",
        used / autoscaling.target_kv_cache_usage,
        f"KV caches {used / len(signals.replicas):.0%} full on {len(signals.replicas)} replicas, "
        f"target {autoscaling.target_kv_cache_usage:.0%}",
    )


def trend(slots: float, climb: float | None, horizon: float, autoscaling: AutoscalingSpec) -> Wish | None:
    """The demand that a climb will have reached when a replica asked for now is ready."""
    if climb is None or slots <= 0:
        return None
    then = slots + min(climb * horizon, (_TREND_LIMIT - 1.0) * slots)
    return Wish(
        "trend",
        then / slots_per_replica(autoscaling),
        f"{slots:.1f} slots, climbing by {climb * 60:.1f} a minute, are {then:.1f} in {horizon:.0f} s, a start-up ahead",
    )


def surge(slots: float, past: Surge | None, autoscaling: AutoscalingSpec) -> Wish | None:
    """What the demand may rise to before a replica starts, as it has done in the hours before.

    Sized without headroom: that is for what has never been seen.
    """
    if past is None:
        return None
    then = min(slots + past.rise, past.level)
    return Wish(
        "surge",
        then / autoscaling.requests_per_replica,
        f"{slots:.1f} slots may be {then:.1f} before a replica has started: within surgeMemorySeconds they rose "
        f"by {past.rise:.1f} in that time, up to {past.level:.1f}",
    )


def activator(observation: Observation) -> Wish | None:
    """One replica for whoever waits at an empty service."""
    if not observation.wanted_by_activator:
        return None
    return Wish("activator", 1.0, "a request came while there was no replica")


def slots_per_replica(autoscaling: AutoscalingSpec) -> float:
    """Requests at once that one replica is sized for."""
    return autoscaling.requests_per_replica * autoscaling.target_utilization


def largest(wishes: Sequence[Wish]) -> Wish | None:
    return max(wishes, key=lambda wish: wish.replicas, default=None)
