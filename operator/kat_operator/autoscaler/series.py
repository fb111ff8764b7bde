"""What the autoscaler reads of a replica, and how a service's load comes out of it. Pure.

One table, `SOURCES`, says which of the predictor's metrics counts as which signal. The query to Prometheus and the
reading of a pod's own exposition are both made of it, so that the two can never disagree about a meaning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from math import inf
from types import MappingProxyType
from typing import Final, NamedTuple

from kat.usage_event import Mode, Segment
from kat_operator.autoscaler.observation import ModeSignals, ReplicaSignals, Signals

_QUANTILE: Final = 0.95
_ANYTHING: Final[Mapping[str, frozenset[str]]] = MappingProxyType({})
_COMPLETION: Final = frozenset({Segment.JUDGE, Segment.THINK, Segment.ANSWER, Segment.CONTROL})


class Window(Enum):
    """Seconds over which a counter's rate is taken."""

    SHORT = 60
    """Load: what happens now."""
    LONG = 1_800
    """Habits: how long requests are. One that thinks may run for minutes, so a minute knows few that ended."""


class Signal(StrEnum):
    """What is read of one replica. Counters are per second."""

    AGE = "age"
    """Seconds since the replica was scraped."""
    ARRIVALS = "arrivals"
    IN_FLIGHT = "in_flight"
    QUEUED = "queued"
    KV_CACHE = "kv_cache"
    REFUSED = "refused"
    TOKENS = "tokens"
    """Completion tokens of requests that ended."""
    ENDED = "ended"
    SECONDS = "seconds"
    """Their durations."""
    GAPS = "gaps"
    """Chunks that followed another one."""
    GAP_SECONDS = "gap_seconds"
    """The time per token in them."""
    FIRST_ANSWERS = "first_answers"
    """First answer tokens that took at most `bound` seconds."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a signal comes from."""

    metric: str
    """Name of the samples."""
    window: Window | None = None
    """Of a counter's rate; None is a gauge, taken as it is."""
    by: tuple[str, ...] = ()
    """Labels that tell series of this signal apart, of `mode` and `le`; over the others it is summed."""
    where: Mapping[str, frozenset[str]] = field(default_factory=lambda: _ANYTHING)
    """Labels and those of their values that count."""


_BY_MODE: Final = ("mode",)
SOURCES: Final[Mapping[Signal, Source]] = MappingProxyType(
    {
        Signal.ARRIVALS: Source("kat_requests_decided_total", Window.SHORT, _BY_MODE),
        Signal.IN_FLIGHT: Source("kat_requests_in_flight", None, _BY_MODE),
        Signal.QUEUED: Source("kat_requests_queued"),
        Signal.KV_CACHE: Source("kat_kv_cache_usage_ratio"),
        Signal.REFUSED: Source("kat_requests_overloaded_total", Window.SHORT),
        Signal.TOKENS: Source("kat_tokens_total", Window.LONG, _BY_MODE, MappingProxyType({"segment": _COMPLETION})),
        Signal.ENDED: Source("kat_request_duration_seconds_count", Window.LONG, _BY_MODE),
        Signal.SECONDS: Source("kat_request_duration_seconds_sum", Window.LONG, _BY_MODE),
        Signal.GAPS: Source("kat_inter_token_latency_seconds_count", Window.SHORT),
        Signal.GAP_SECONDS: Source("kat_inter_token_latency_seconds_sum", Window.SHORT),
        Signal.FIRST_ANSWERS: Source("kat_time_to_first_answer_token_seconds_bucket", Window.SHORT, (*_BY_MODE, "le")),
    }
)


class Series(NamedTuple):
    """One number of a replica."""

    signal: Signal
    mode: str = ""
    """Where the signal has one."""
    bound: float = inf
    """Upper bound of a bucket, where the signal has any."""


Samples = Mapping[Series, float]
"""Of one replica. A series that is missing is 0."""


class Reason(StrEnum):
    """Why there are signals, or none: as the condition MetricsAvailable gives it."""

    FOUND = "MetricsFound"
    FROM_PODS = "MetricsFromPods"
    MISSING = "MetricsMissing"
    STALE = "MetricsStale"
    PROMETHEUS_UNREACHABLE = "PrometheusUnreachable"
    NO_REPLICAS = "NoReplicas"


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of a service."""

    signals: Signals | None
    reason: Reason
    message: str
    """One line for people."""


def reading_of(
    samples: Mapping[str, Samples],
    ready: Mapping[str, float],
    *,
    stale_after_seconds: float,
    grace_seconds: float,
) -> Reading:
    """Signals of the replicas that are ready, where enough of them have fresh metrics.

    Series of other pods are left out: what is gone bears no load. A replica without fresh metrics is taken to be like
    the others while these are the majority: one that is too busy to be scraped must not hold up its own relief.

    Args:
        samples: By pod.
        ready: Pods that are ready, and for how many seconds they have been known to be.
        stale_after_seconds: Older samples tell nothing.
        grace_seconds: A ready pod may be unknown for so long, and is idle until then.
    """
    if not ready:
        return Reading(None, Reason.NO_REPLICAS, "no replica is ready, so there is nothing to measure")
    known = {pod: samples[pod] for pod in ready if pod in samples}
    fresh = {pod: of_pod for pod, of_pod in known.items() if _age(of_pod) <= stale_after_seconds}
    missing = [pod for pod, seconds in ready.items() if pod not in known and seconds > grace_seconds]
    stale = [pod for pod in known if pod not in fresh]
    lost = [*stale, *missing]
    if not fresh and stale:
        oldest = max(_age(of_pod) for of_pod in known.values())
        return Reading(None, Reason.STALE, f"the newest metrics are up to {oldest:.0f} s old")
    if not fresh:
        return Reading(None, Reason.MISSING, f"no metrics of {_some(ready)}")
    if len(lost) >= len(fresh):
        reason = Reason.STALE if len(stale) > len(missing) else Reason.MISSING
        return Reading(None, reason, f"no fresh metrics of {_some(lost)}, which is half of the replicas or more")
    message = f"fresh metrics of {len(fresh)} of {len(ready)} ready replicas"
    if lost:
        message += f"; {_some(lost)} taken to be like them"
    return Reading(signals_of(_likened(fresh, lost)), Reason.FOUND, message)


def signals_of(samples: Mapping[str, Samples]) -> Signals:
    """The load of a service, from what its replicas say.

    Args:
        samples: By pod.
    """
    totals = _totals(samples.values())
    modes = {}
    for mode in Mode:
        ended = totals.get(Series(Signal.ENDED, mode), 0.0)
        modes[mode] = ModeSignals(
            arrivals_per_second=totals.get(Series(Signal.ARRIVALS, mode), 0.0),
            in_flight=totals.get(Series(Signal.IN_FLIGHT, mode), 0.0),
            tokens_per_request=_ratio(totals.get(Series(Signal.TOKENS, mode), 0.0), ended),
            seconds_per_request=_ratio(totals.get(Series(Signal.SECONDS, mode), 0.0), ended),
            time_to_first_answer_token=quantile(
                _QUANTILE,
                {
                    series.bound: count
                    for series, count in totals.items()
                    if series.signal is Signal.FIRST_ANSWERS and series.mode == mode
                },
            ),
        )
    return Signals(
        modes=modes,
        replicas=tuple(_replica(pod, of_pod) for pod, of_pod in sorted(samples.items())),
        seconds_per_token=_ratio(totals.get(Series(Signal.GAP_SECONDS), 0.0), totals.get(Series(Signal.GAPS), 0.0)),
        rejected_per_second=totals.get(Series(Signal.REFUSED), 0.0),
    )


def quantile(q: float, buckets: Mapping[float, float]) -> float | None:
    """A quantile of a cumulative histogram, as `histogram_quantile` of Prometheus 2 computes it.

    Linear inside a bucket; in the last one, its lower bound. None where nothing was observed.

    Args:
        q: 0 to 1.
        buckets: How many observations were at most so large, by upper bound, infinity included.
    """
    bounds = sorted(buckets)
    if len(bounds) < 2 or bounds[-1] != inf:  # noqa: PLR2004 - one bucket says nothing about a size
        return None
    counts = []
    highest = 0.0
    for bound in bounds:
        # Rates of buckets are not taken at one instant, so that a smaller one may be ahead of a larger.
        highest = max(highest, buckets[bound])
        counts.append(highest)
    if not highest:
        return None
    rank = q * highest
    at = next((index for index, count in enumerate(counts[:-1]) if count >= rank), len(counts) - 1)
    if at == len(counts) - 1:
        return bounds[-2]
    lower, below = (bounds[at - 1], counts[at - 1]) if at else (0.0, 0.0)
    if counts[at] == below:
        return bounds[at]
    return lower + (bounds[at] - lower) * (rank - below) / (counts[at] - below)


def _age(samples: Samples) -> float:
    return samples.get(Series(Signal.AGE), inf)


def _replica(pod: str, samples: Samples) -> ReplicaSignals:
    return ReplicaSignals(
        pod=pod,
        in_flight=sum(samples.get(Series(Signal.IN_FLIGHT, mode), 0.0) for mode in Mode),
        queued=samples.get(Series(Signal.QUEUED), 0.0),
        kv_cache_usage=samples.get(Series(Signal.KV_CACHE), 0.0),
    )


def _likened(fresh: Mapping[str, Samples], lost: Iterable[str]) -> dict[str, Samples]:
    mean = {series: total / len(fresh) for series, total in _totals(fresh.values()).items()}
    return {**fresh, **dict.fromkeys(lost, mean)}


def _totals(samples: Iterable[Samples]) -> dict[Series, float]:
    totals: dict[Series, float] = {}
    for of_pod in samples:
        for series, value in of_pod.items():
            totals[series] = totals.get(series, 0.0) + value
    return totals


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def _some(pods: Iterable[str], *, shown: int = 3) -> str:
    names = sorted(pods)
    listed = ", ".join(names[:shown])
    return f"{listed} and {len(names) - shown} more" if len(names) > shown else listed
