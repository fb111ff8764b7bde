"""One law against one trace."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, inf
from typing import Final

import numpy as np

from kat_operator.api import AutoscalingSpec, ReplicasSpec
from kat_operator.autoscaler.observation import Observation
from kat_operator.simulation.fleet import Fleet
from kat_operator.simulation.hardware import Hardware
from kat_operator.simulation.laws import AibrixApa, HpaInFlight, KedaQueue, Law, LlmdSlo, Seen, Static
from kat_operator.simulation.meters import Meters
from kat_operator.simulation.ours import OurPolicy
from kat_operator.simulation.replica import Request
from kat_operator.simulation.score import Score, attained_in_each, score
from kat_operator.simulation.trace import Trace

SCRAPE_SECONDS: Final = 5.0
"""Metrics are read so often, and decided upon one reading later."""
GOAL: Final = 0.99
"""Share of requests within their objective: what the static fleet is sized for."""
_FINISH_SECONDS: Final = 300.0
"""Time after the trace's end in which its last requests may end. Nothing is scaled or paid then."""

PEAK_SECONDS: Final = 300.0
"""The fleet that is sized for the peak attains the goal in each five minutes: operators look at no shorter ones."""
_STATIC_WARMUP: Final = 300.0
_MOST_STATIC: Final = 1_000
_ROOM: Final = 1.5


@dataclass(frozen=True, slots=True)
class Setting:
    """What all laws are given alike."""

    hardware: Hardware = field(default_factory=Hardware)
    autoscaling: AutoscalingSpec = field(default_factory=AutoscalingSpec)
    min_replicas: int = 1
    max_replicas: int = 100
    seed: int = 0
    """Of start-up times: the n-th replica that a law asks for starts as fast as the n-th of any other law."""

    @property
    def bounds(self) -> ReplicasSpec:
        """Fewest and most replicas."""
        return ReplicasSpec(min=self.min_replicas, max=max(self.max_replicas, self.min_replicas))


@dataclass(frozen=True, slots=True)
class Run:
    """What became of a trace under a law."""

    law: str
    trace: Trace
    requests: Sequence[Request]
    """As they ended; empty in runs by name, of which many are kept."""
    replicas: list[tuple[float, int]]
    """When the number of replicas asked for changed, and to what; the first entry is the start."""
    served: list[tuple[float, int]]
    """The number of ready replicas, likewise."""
    replica_seconds: float
    """In the scored time."""
    running: int
    """Requests that had not ended when the simulation did."""
    score: Score
    seed: int = 0
    """The setting's."""


LAWS: Final[Mapping[str, Callable[[ReplicasSpec, AutoscalingSpec], Law]]] = {
    "ours": OurPolicy,
    "keda": lambda replicas, _: KedaQueue(replicas),
    "hpa": HpaInFlight,
    "apa": AibrixApa,
    "llm-d": lambda replicas, _: LlmdSlo(replicas),
}
"""The laws that scale, by the name that `--policy` takes."""


def simulate(trace: Trace, law: Law, setting: Setting, *, replicas: int | None = None) -> Run:
    """Run the trace under the law, starting with so many ready replicas (the fewest allowed, if not said)."""
    fleet = Fleet(
        setting.hardware,
        replicas=setting.min_replicas if replicas is None else replicas,
        rng=np.random.default_rng(setting.seed),
    )
    bounds = setting.bounds
    meters = Meters(setting.autoscaling.objectives)
    requests = requests_of(trace)
    asked, served = [(0.0, fleet.size)], [(0.0, len(fleet.ready))]
    next_scrape, counted_refusals, last_request = SCRAPE_SECONDS, 0, 0.0
    shown: Seen | None = None
    coming = iter(requests)
    request = next(coming, None)
    while request is not None or next_scrape <= trace.seconds:
        at = request.at if request is not None else inf
        if at < next_scrape:
            fleet.advance(at)
            assert request is not None  # noqa: S101 - at would be infinite
            fleet.route(request)
            last_request = at
            request = next(coming, None)
            continue
        now = next_scrape
        next_scrape += SCRAPE_SECONDS
        fleet.advance(now)
        refused = fleet.refused - counted_refusals
        counted_refusals = fleet.refused
        signals, latency = meters.read(now, fleet.ready, refused)
        if shown is not None:
            startups = fleet.startup_seconds
            observation = Observation(
                at=now,
                signals=shown.observation.signals,
                ready=len(fleet.ready),
                starting=len(fleet.starting),
                ceiling=bounds.max,
                wanted_by_activator=bool(refused) and not fleet.ready,
                startup_seconds=sum(startups) / len(startups) if startups else None,
                since_last_request=now - last_request,
            )
            fleet.scale(law.desired(Seen(observation, shown.latency)), now)
        # What is read now is what the next decision sees.
        shown = Seen(
            Observation(at=now, signals=signals if fleet.ready else None, ready=0, starting=0, ceiling=0), latency
        )
        if fleet.size != asked[-1][1]:
            asked.append((now, fleet.size))
        if len(fleet.ready) != served[-1][1]:
            served.append((now, len(fleet.ready)))
    fleet.advance(trace.seconds + _FINISH_SECONDS)
    replica_seconds = fleet.replica_seconds(trace.warmup_seconds, trace.seconds)
    return Run(
        law=law.name,
        trace=trace,
        requests=requests,
        replicas=asked,
        served=served,
        replica_seconds=replica_seconds,
        running=fleet.in_hand(),
        score=score(
            trace,
            requests,
            asked,
            gpu_seconds=replica_seconds * setting.hardware.gpus,
            objectives=setting.autoscaling.objectives,
        ),
        seed=setting.seed,
    )


def simulate_law(trace: Trace, name: str, setting: Setting) -> Run:
    """Run the trace under one of `LAWS`. Requests are not kept."""
    run = simulate(trace, LAWS[name](setting.bounds, setting.autoscaling), setting)
    return replace(run, requests=())


def static_fleet(trace: Trace, setting: Setting, *, goal: float = GOAL, window: float = inf) -> Run:
    """The smallest constant fleet that attains the goal, found by doubling and bisection. Requests are not kept.

    More replicas never attain less, but for chance among a few requests. A constant fleet has nothing to warm up to, so
    that five minutes of the warm-up are enough to fill it. Where 1,000 replicas fall short, as many are the answer.

    Args:
        trace: What is run.
        setting: As of the laws that are compared.
        goal: Share of requests within their objective.
        window: Seconds. The goal is to be attained in each such part of the scored time, and not only in all of it.
    """
    trace = trace.with_warmup(_STATIC_WARMUP)
    name = "static" if window == inf else "peak"

    def attempt(replicas: int) -> tuple[Run, bool]:
        run = simulate(trace, Static(replicas), setting, replicas=replicas)
        good = attained_in_each(trace, run.requests, setting.autoscaling.objectives, window) >= goal
        return replace(run, law=name, requests=()), good

    low, high = 0, peak_replicas(trace, setting.hardware, setting.autoscaling)
    best, good = attempt(high)
    while not good and high < _MOST_STATIC:
        low, high = high, min(2 * high, _MOST_STATIC)
        best, good = attempt(high)
    while high - low > 1 and good:
        middle = (low + high) // 2
        run, enough = attempt(middle)
        if enough:
            best, high = run, middle
        else:
            low = middle
    return best


def with_room(setting: Setting, static: Run) -> Setting:
    """The setting with half as many replicas again as the static fleet has for the most: what a pool might hold."""
    return replace(setting, max_replicas=max(ceil(_ROOM * static.score.most_replicas), setting.min_replicas + 1))


def peak_replicas(trace: Trace, hardware: Hardware, autoscaling: AutoscalingSpec) -> int:
    """Replicas that the busiest minute would keep at the target utilisation, were each of its requests to start at once."""
    target = max(1, round(autoscaling.requests_per_replica * autoscaling.target_utilization))
    step = hardware.step_seconds[min(target, hardware.max_concurrent)]
    tokens = trace.hidden_tokens + trace.answer_tokens
    share = trace.prompt_tokens / hardware.prefill_tokens_per_second + tokens * step / target
    minutes = np.bincount((trace.at // 60.0).astype(np.int64), weights=share)
    return max(1, ceil(float(minutes.max(initial=0.0)) / 60.0))


def requests_of(trace: Trace) -> list[Request]:
    """The trace's requests, as yet unserved."""
    rows = zip(
        trace.at.tolist(),
        trace.prompt_tokens.tolist(),
        trace.hidden_tokens.tolist(),
        trace.answer_tokens.tolist(),
        trace.thinks.tolist(),
        strict=True,
    )
    return [Request(*row) for row in rows]
