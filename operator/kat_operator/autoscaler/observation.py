"""What is known of a service at one moment: all that a policy may look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum

from kat.usage_event import Mode


@dataclass(frozen=True, slots=True)
class ModeSignals:
    """One mode's part of a service's load, over all replicas."""

    arrivals_per_second: float = 0.0
    """Requests a second that took this mode, over the last minute."""
    in_flight: float = 0.0
    """Requests that run now."""
    tokens_per_request: float | None = None
    """Mean completion tokens of requests that ended; None before the first."""
    seconds_per_request: float | None = None
    """Mean duration of requests that ended, without their wait in a queue where that is known."""
    time_to_first_answer_token: float | None = None
    """95th percentile over the last minute, seconds; None where no request had an answer."""


@dataclass(frozen=True, slots=True)
class ReplicaSignals:
    """One ready replica, by its own account."""

    pod: str
    in_flight: float
    queued: float
    kv_cache_usage: float
    """0 to 1."""


@dataclass(frozen=True, slots=True)
class Signals:
    """A service's load. Series of pods that no longer exist are not in it."""

    modes: Mapping[Mode, ModeSignals]
    """Of `on`, `off` and, for requests in flight whose mode is not known yet, `undecided`."""
    replicas: Sequence[ReplicaSignals]
    seconds_per_token: float | None = None
    """Mean time between tokens that follow one another; None before the first."""
    rejected_per_second: float = 0.0
    """Requests refused because a replica was full, over the last minute."""

    @property
    def in_flight(self) -> float:
        return fsum(mode.in_flight for mode in self.modes.values())

    @property
    def queued(self) -> float:
        # Exactly rounded, so that the order in which replicas are told changes nothing.
        return fsum(replica.queued for replica in self.replicas)

    @property
    def think_on_share(self) -> float | None:
        """Share of the last minute's requests that think; None where there were none."""
        on, off = (self.modes.get(mode, ModeSignals()).arrivals_per_second for mode in (Mode.ON, Mode.OFF))
        return on / (on + off) if on + off > 0 else None


@dataclass(frozen=True, slots=True)
class Observation:
    """What a decision is made of."""

    at: float
    """Seconds of any clock that only goes forward; the decisions of one service share it."""
    signals: Signals | None
    """None where metrics are missing or stale: then nothing is scaled down, and nothing below what runs."""
    ready: int
    """Replicas that serve."""
    starting: int
    """Replicas that were asked for and do not serve yet, Pending ones included."""
    ceiling: int
    """Replicas that the pools can schedule, those that run included."""
    wanted_by_activator: bool = False
    """A request came while there was no replica."""
    startup_seconds: float | None = None
    """From a new pod to a ready one, as measured; None before the first."""
    since_last_request: float | None = None
    """Seconds; None where it is not known."""

    @property
    def current(self) -> int:
        """Replicas asked for."""
        return self.ready + self.starting


@dataclass(frozen=True, slots=True)
class Wish:
    """What one law wants, and why."""

    law: str
    """Of `in_flight`, `queue`, `latency`, `kv_cache`, `trend`, `surge`, `activator`; a metric label."""
    replicas: float
    """Before rounding."""
    because: str
    """One line for people, with its figures."""


@dataclass(frozen=True, slots=True)
class Decision:
    """How many replicas to ask for, and how that came about."""

    replicas: int
    reason: str
    """CamelCase, from a small set: a metric label and the reason of an event."""
    message: str
    """One line for people."""
    wishes: Sequence[Wish] = field(default=())
    bounds: Sequence[str] = field(default=())
    """What changed the largest wish, in order: `hold`, `band`, `window`, `regret`, `pace`, `step`, `min`, `max`, `ceiling`."""
