"""What a run was worth: how many requests were answered in time, and what that cost."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kat_operator.api import ObjectivesSpec
from kat_operator.simulation.replica import Request
from kat_operator.simulation.trace import Trace

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
    seconds = np.array([r.first_answer - r.at if r.first_answer >= 0 else np.inf for r in scored])
    thinks = np.array([request.thinks for request in scored], dtype=bool)
    limits = np.where(
        thinks, objectives.time_to_first_answer_token_on_seconds, objectives.time_to_first_answer_token_off_seconds
    )
    within = seconds <= limits
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


def flaps(changes: Sequence[tuple[float, int]]) -> int:
    """Changes that undid, within a quarter of an hour, the direction of the one before. Entries: when, how many."""
    return sum(
        later - earlier <= FLAP_SECONDS and (by > 0) != (before > 0)
        for (earlier, before), (later, by) in itertools.pairwise(changes)
    )


def _share(within: np.typing.NDArray[np.bool_]) -> float:
    return float(within.mean()) if len(within) else 1.0


def _percentile(seconds: np.typing.NDArray[np.float64], q: float) -> float | None:
    return float(np.percentile(seconds, q)) if len(seconds) else None


def _mean_replicas(replicas: Sequence[tuple[float, int]], start: float, end: float) -> float:
    until = [at for at, _ in replicas[1:]] + [end]
    spans = [
        size * max(0.0, min(last, end) - max(first, start)) for (first, size), last in zip(replicas, until, strict=True)
    ]
    return sum(spans) / (end - start)
