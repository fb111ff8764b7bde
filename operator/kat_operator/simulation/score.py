"""What a run was worth: how many requests were answered in time, and what that cost."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kat_operator.api import ObjectivesSpec
from kat_operator.simulation.replica import Request
from kat_operator.simulation.trace import Flags, Floats, Trace

FLAP_SECONDS = 900.0
"""A change in the other direction within this time is a flap: a cold start and a scale-down window are shorter."""
_HOUR = 3_600.0


@dataclass(frozen=True, slots=True)
class Score:
    """Of the scored time, so without the warm-up. Times are seconds, None where no request had an answer."""

    requests: int
    attained: float
    """Share of requests whose first answer token came within its mode's objective. Refused ones did not."""
    attained_on: float | None
    attained_off: float | None
    refused: int
    unfinished: int
    """Requests that had not ended five minutes after the trace."""
    p50: float | None
    """Time to the first answer token."""
    p99: float | None
    gpu_hours: float
    scale_events: int
    """Changes of the number of replicas asked for."""
    flaps_per_hour: float
    """Changes in the other direction within a quarter of an hour."""
    hours: float
    mean_replicas: float
    most_replicas: int


def score(
    trace: Trace,
    requests: Sequence[Request],
    replicas: Sequence[tuple[float, int]],
    *,
    gpu_seconds: float,
    objectives: ObjectivesSpec,
) -> Score:
    """Score a run.

    Args:
        trace: What was run.
        requests: Its requests, after it.
        replicas: When the number of replicas asked for changed, and to what.
        gpu_seconds: Of the scored time.
        objectives: By mode.
    """
    start = trace.warmup_seconds
    scored = [request for request in requests if request.at >= start]
    seconds = _seconds_to_answers(scored)
    thinks = np.array([request.thinks for request in scored], dtype=bool)
    within = ~late(scored, objectives)
    answered = seconds[np.isfinite(seconds)]
    changes = [(at, size - before) for (_, before), (at, size) in itertools.pairwise(replicas)]
    hours = (trace.seconds - start) / _HOUR
    sizes = [size for at, size in replicas if at >= start] + [size for at, size in replicas if at < start][-1:]
    return Score(
        requests=len(scored),
        attained=_share(within),
        attained_on=_share(within[thinks]) if thinks.any() else None,
        attained_off=_share(within[~thinks]) if not thinks.all() else None,
        refused=sum(request.refused for request in scored),
        unfinished=sum(not request.refused and request.ended < 0 for request in scored),
        p50=_percentile(answered, 50),
        p99=_percentile(answered, 99),
        gpu_hours=gpu_seconds / _HOUR,
        scale_events=sum(at >= start for at, _ in changes),
        flaps_per_hour=flaps([change for change in changes if change[0] >= start]) / hours,
        hours=hours,
        mean_replicas=_mean_replicas(replicas, start, trace.seconds),
        most_replicas=max(sizes),
    )


def late(requests: Sequence[Request], objectives: ObjectivesSpec) -> Flags:
    """Which requests saw no answer within their mode's objective, refused ones included."""
    thinks = np.array([request.thinks for request in requests], dtype=bool)
    limits = np.where(
        thinks, objectives.time_to_first_answer_token_on_seconds, objectives.time_to_first_answer_token_off_seconds
    )
    missed: Flags = _seconds_to_answers(requests) > limits
    return missed


def attained_in_each(trace: Trace, requests: Sequence[Request], objectives: ObjectivesSpec, window: float) -> float:
    """The least share of requests within their objective in any such part of the scored time; 1 without requests.

    Args:
        trace: What was run.
        requests: Its requests, after it.
        objectives: By mode.
        window: Seconds, infinite for all of the time. The rest after the last whole one belongs to that.
    """
    scored = [request for request in requests if request.at >= trace.warmup_seconds]
    if not scored:
        return 1.0
    length = trace.seconds - trace.warmup_seconds
    count = max(1, int(length / window))
    since = np.array([request.at for request in scored]) - trace.warmup_seconds
    part = np.minimum((since / min(window, length)).astype(np.int64), count - 1)
    came = np.bincount(part, minlength=count)
    missed = np.bincount(part, weights=late(scored, objectives), minlength=count)
    return float(1.0 - (missed / np.maximum(came, 1)).max())


def flaps(changes: Sequence[tuple[float, int]]) -> int:
    """Changes that undid, within a quarter of an hour, the direction of the one before. Entries: when, how many."""
    return sum(
        later - earlier <= FLAP_SECONDS and (by > 0) != (before > 0)
        for (earlier, before), (later, by) in itertools.pairwise(changes)
    )


def _seconds_to_answers(requests: Sequence[Request]) -> Floats:
    """Infinite where there was none."""
    return np.array([r.first_answer - r.at if r.first_answer >= 0 else np.inf for r in requests], dtype=np.float64)


def _share(within: Flags) -> float:
    return float(within.mean()) if len(within) else 1.0


def _percentile(seconds: Floats, q: float) -> float | None:
    return float(np.percentile(seconds, q)) if len(seconds) else None


def _mean_replicas(replicas: Sequence[tuple[float, int]], start: float, end: float) -> float:
    until = [at for at, _ in replicas[1:]] + [end]
    spans = [
        size * max(0.0, min(last, end) - max(first, start)) for (first, size), last in zip(replicas, until, strict=True)
    ]
    return sum(spans) / (end - start)
