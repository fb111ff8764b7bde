"""What metrics would show of a simulated fleet: gauges of this moment, counters over the operator's windows."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import inf
from typing import Final

from kat.usage_event import Mode
from kat_operator.api import ObjectivesSpec
from kat_operator.autoscaler.observation import ModeSignals, ReplicaSignals, Signals
from kat_operator.autoscaler.series import Window, quantile
from kat_operator.simulation.replica import Replica

_MODES: Final = (Mode.OFF, Mode.ON)
"""By `Request.thinks`."""
_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300, 600, inf)
"""Of `kat_time_to_first_answer_token_seconds`: a percentile is no finer than these."""


@dataclass(slots=True)
class _Counters:
    """Of one mode, since one reading of the fleet."""

    decided: int = 0
    ended: int = 0
    tokens: int = 0
    seconds: float = 0.0
    first_answers: list[int] = field(default_factory=lambda: [0] * len(_BUCKETS))

    def add(self, other: _Counters, sign: int) -> None:
        self.decided += sign * other.decided
        self.ended += sign * other.ended
        self.tokens += sign * other.tokens
        self.seconds += sign * other.seconds
        for bucket, count in enumerate(other.first_answers):
            if count:
                self.first_answers[bucket] += sign * count


_Shares = tuple[list[float], list[float]]
"""Times to first answer tokens by mode, each as a share of the mode's objective."""


@dataclass(slots=True)
class _Reading:
    at: float
    modes: tuple[_Counters, _Counters]
    gaps: int
    gap_seconds: float
    refused: int
    answers: _Shares


@dataclass(frozen=True, slots=True)
class Latency:
    """How the last minute's answers were, exactly: what a law that is built on latency may use."""

    readings: Sequence[_Shares]

    def worst_of_objective(self, q: float) -> float | None:
        """The larger of both modes' quantiles, as a share of its objective; None without answers."""
        found = []
        for mode in (0, 1):
            shares = sorted(share for reading in self.readings for share in reading[mode])
            if shares:
                found.append(shares[min(int(q * len(shares)), len(shares) - 1)])
        return max(found, default=None)


class Meters:
    """Read once a scrape; the sums over the windows are kept up rather than taken anew."""

    def __init__(self, objectives: ObjectivesSpec) -> None:
        self._objectives = (
            objectives.time_to_first_answer_token_off_seconds,
            objectives.time_to_first_answer_token_on_seconds,
        )
        self._short: deque[_Reading] = deque()
        self._long: deque[_Reading] = deque()
        self._in_short = (_Counters(), _Counters())
        self._in_long = (_Counters(), _Counters())
        self._gaps = 0
        self._gap_seconds = 0.0
        self._refused = 0
        self._since = 0.0

    def read(self, now: float, replicas: Sequence[Replica], refused: int) -> tuple[Signals, Latency]:
        """Take what happened since the last reading.

        Args:
            now: Seconds.
            replicas: The ready ones.
            refused: Requests that were refused since the last reading.
        """
        reading = self._harvest(now, replicas, refused)
        self._count(reading)
        seconds = min(float(Window.SHORT.value), now - self._since) or 1.0
        quantiles = {mode: self._quantile(number, 0.95) for number, mode in enumerate(_MODES)}
        running = [0, 0]
        for replica in replicas:
            for request in replica.generating():
                running[request.thinks] += 1
        modes = {
            mode: ModeSignals(
                arrivals_per_second=self._in_short[number].decided / seconds,
                in_flight=running[number],
                tokens_per_request=_ratio(self._in_long[number].tokens, self._in_long[number].ended),
                seconds_per_request=_ratio(self._in_long[number].seconds, self._in_long[number].ended),
                time_to_first_answer_token=quantiles[mode],
            )
            for number, mode in enumerate(_MODES)
        }
        modes[Mode.UNDECIDED] = ModeSignals(in_flight=sum(len(replica.reading) for replica in replicas))
        signals = Signals(
            modes=modes,
            replicas=tuple(
                ReplicaSignals(replica.name, replica.running, len(replica.waiting), replica.kv_usage)
                for replica in replicas
            ),
            seconds_per_token=_ratio(self._gap_seconds, self._gaps),
            rejected_per_second=self._refused / seconds,
        )
        return signals, Latency(tuple(reading.answers for reading in self._short))

    def _quantile(self, mode: int, q: float) -> float | None:
        counts = accumulate(self._in_short[mode].first_answers)
        return quantile(q, dict(zip(_BUCKETS, map(float, counts), strict=True)))

    def _harvest(self, now: float, replicas: Iterable[Replica], refused: int) -> _Reading:
        modes = (_Counters(), _Counters())
        answers: _Shares = ([], [])
        gaps, gap_seconds = 0, 0.0
        for replica in replicas:
            for request in replica.started:
                modes[request.thinks].decided += 1
            for request in replica.answered:
                seconds = request.first_answer - request.at
                modes[request.thinks].first_answers[bisect_left(_BUCKETS, seconds)] += 1
                answers[request.thinks].append(seconds / self._objectives[request.thinks])
            for request in replica.ended:
                counters = modes[request.thinks]
                tokens = request.hidden_tokens + request.answer_tokens
                counters.ended += 1
                counters.tokens += tokens
                counters.seconds += request.ended - request.at
                gaps += tokens - 1
                gap_seconds += request.ended - request.first_token
            replica.started.clear()
            replica.answered.clear()
            replica.ended.clear()
        return _Reading(now, modes, gaps, gap_seconds, refused, answers)

    def _count(self, reading: _Reading) -> None:
        self._short.append(reading)
        self._long.append(reading)
        self._totals(reading, 1)
        for number in (0, 1):
            self._in_long[number].add(reading.modes[number], 1)
        while self._short[0].at <= reading.at - Window.SHORT.value:
            self._totals(self._short.popleft(), -1)
        while self._long[0].at <= reading.at - Window.LONG.value:
            old = self._long.popleft()
            for number in (0, 1):
                self._in_long[number].add(old.modes[number], -1)

    def _totals(self, reading: _Reading, sign: int) -> None:
        for number in (0, 1):
            self._in_short[number].add(reading.modes[number], sign)
        self._gaps += sign * reading.gaps
        self._gap_seconds += sign * reading.gap_seconds
        self._refused += sign * reading.refused


def _ratio(total: float, count: int) -> float | None:
    return total / count if count else None
