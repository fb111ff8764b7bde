"""What a law could attain that knew every request beforehand: a bound, and no law to choose.

Constant fleets are run first, to know how many requests of each moment each size answers late. Between these sizes the
cheapest way through time is found by dynamic programming (R. Bellman, 1957): a replica costs its seconds, one more costs
a start-up on top, a late answer costs a price. The price is raised until a simulation of that plan attains the goal.
Every start-up takes the mean, so that none comes as a surprise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil, sqrt
from typing import Final

import numpy as np

from kat_operator.simulation.laws import Seen, Static
from kat_operator.simulation.run import GOAL, SCRAPE_SECONDS, Run, Setting, simulate
from kat_operator.simulation.score import late
from kat_operator.simulation.trace import Floats, Integers, Trace

_WARMUP: Final = 300.0
"""The law starts with the plan's first size: as with a constant fleet, there is little to warm up."""
_MOST_SIZES: Final = 16
_MOST_STEPS: Final = 2_000
_PRICES: Final = (0.1, 1_000.0)
"""Replica-seconds that a late answer may cost."""
_TRIALS: Final = 6
"""Halvings of the logarithm of that range."""


class Foresight:
    """Follows a plan: asks for each replica as long before it is needed as it takes to start."""

    name = "foresight"

    def __init__(self, plan: Integers, *, step: float, start_up: float) -> None:
        """So many replicas in each `step` seconds, each asked for `start_up` seconds before."""
        self._plan, self._step = plan, step
        self._ahead = start_up + SCRAPE_SECONDS

    def desired(self, seen: Seen) -> int:
        # What is needed again before another could have started is kept, as the plan does.
        first, last = (min(int(at / self._step), len(self._plan) - 1) for at in (seen.now, seen.now + self._ahead))
        return int(self._plan[first : last + 1].max())


def with_foresight(trace: Trace, setting: Setting, *, most: int, goal: float = GOAL) -> Run:
    """The cheapest run that attains the goal with foresight; where none does, the one that attains most.

    Args:
        trace: What is run.
        setting: As of the laws that are compared.
        most: Replicas that attain the goal without scaling.
        goal: Share of requests within their objective.
    """
    trace = trace.with_warmup(_WARMUP)
    sizes = np.unique(np.linspace(setting.bounds.min, ceil(most * 1.1), _MOST_SIZES).round().astype(np.int64))
    step = SCRAPE_SECONDS * ceil(trace.seconds / SCRAPE_SECONDS / _MOST_STEPS)
    lost = late_by_size(trace, sizes.tolist(), step, setting)
    start_up = sum(setting.hardware.startup_seconds) / 2
    setting = replace(setting, hardware=replace(setting.hardware, startup_seconds=(start_up, start_up)))
    low, high = _PRICES

    def attempt(price: float) -> Run:
        plan = sizes[cheapest(lost, sizes.astype(np.float64), step=step, start_up=start_up, price=price)]
        run = simulate(trace, Foresight(plan, step=step, start_up=start_up), setting, replicas=int(plan[0]))
        return replace(run, requests=())

    best = attempt(high)
    for _ in range(_TRIALS):
        price = sqrt(low * high)
        run = attempt(price)
        if run.score.attained >= goal:
            high = price
            best = min(best, run, key=lambda each: each.score.gpu_hours)
        else:
            low = price
    return best


def late_by_size(trace: Trace, sizes: Sequence[int], step: float, setting: Setting) -> Floats:
    """Late answers to the requests of each step (rows) under each constant fleet (columns)."""
    rows = (trace.at // step).astype(np.int64)
    count = ceil(trace.seconds / step)
    columns = [
        np.bincount(
            rows,
            weights=late(
                simulate(trace, Static(size), setting, replicas=size).requests, setting.autoscaling.objectives
            ),
            minlength=count,
        )
        for size in sizes
    ]
    return np.stack(columns, axis=1).astype(np.float64)


def cheapest(lost: Floats, sizes: Floats, *, step: float, start_up: float, price: float) -> Integers:
    """Which size to have in each step, as an index.

    Args:
        lost: Late answers, by step and size.
        sizes: Replicas, ascending.
        step: Seconds.
        start_up: Seconds that a replica is paid for before it serves.
        price: Replica-seconds that a late answer costs.
    """
    grown = np.maximum(sizes[None, :] - sizes[:, None], 0.0) * start_up
    running = sizes * step
    total = running + price * lost[0]
    came_from = np.zeros(lost.shape, dtype=np.int64)
    for row in range(1, len(lost)):
        through = total[:, None] + grown
        came_from[row] = through.argmin(axis=0)
        total = through.min(axis=0) + running + price * lost[row]
    path = [int(total.argmin())]
    for row in range(len(lost) - 1, 0, -1):
        path.append(int(came_from[row, path[-1]]))
    return np.array(path[::-1], dtype=np.int64)
