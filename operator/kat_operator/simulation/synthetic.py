"""Made-up traces, each with one difficulty of its own. The same seed makes the same trace.

All start with half an hour of warm-up at their first minute's load.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from kat_operator.simulation.trace import (
    JUDGE_TOKENS,
    THINK_MEDIAN,
    THINK_ON_SHARE,
    Floats,
    Integers,
    Trace,
    thinking_tokens,
)

_WARMUP: Final = 1_800.0
_HOUR: Final = 3_600.0
# Prompts and answers of a chat: medians near those of the conversation trace of the Azure LLM inference traces.
_PROMPT_MEDIAN, _PROMPT_SIGMA, _PROMPT_MOST = 1_000.0, 0.8, 8_000
_ANSWER_MEDIAN, _ANSWER_SIGMA, _ANSWER_MOST = 130.0, 0.7, 1_024


@dataclass(frozen=True, slots=True)
class Shape:
    """Rate and mode mix over time; both functions take seconds since the end of the warm-up."""

    seconds: float
    rate: Callable[[Floats], Floats]
    """Requests a second."""
    think_on_share: Callable[[Floats], Floats]
    thinking_tokens: float = THINK_MEDIAN
    """The median of requests that think."""
    prompt_tokens: float = _PROMPT_MEDIAN
    """The median."""


def _constantly(value: float) -> Callable[[Floats], Floats]:
    return lambda t: np.full_like(t, value)


def _ramp(t: Floats, start: float, seconds: float) -> Floats:
    """From 0 to 1."""
    return np.clip((t - start) / seconds, 0.0, 1.0)


def _bursts(t: Floats) -> Floats:
    """Twice and a half the base for forty minutes, twice in eight hours, each up and down within a quarter of an hour."""
    up = np.zeros_like(t)
    for start in (2.0 * _HOUR, 5.5 * _HOUR):
        up += _ramp(t, start, 900.0) - _ramp(t, start + 3_300.0, 900.0)
    return 8.0 * (1.0 + 1.5 * up)


SHAPES: Final = {
    # A day in six hours, so four times as steep as a real one; five times as much at its peak as at night.
    "diurnal": Shape(
        6 * _HOUR,
        lambda t: 14.4 - 9.6 * np.cos(2 * np.pi * t / (6 * _HOUR)),
        _constantly(THINK_ON_SHARE),
    ),
    "burst": Shape(8 * _HOUR, _bursts, _constantly(THINK_ON_SHARE)),
    # The same number of requests all the time; within twenty minutes six in ten think instead of one. Short questions
    # with long thoughts, so that it is the thinking that makes the load.
    "mode-shift": Shape(
        4 * _HOUR,
        _constantly(16.0),
        lambda t: 0.1 + 0.5 * _ramp(t, 3 * _HOUR, 1_200.0),
        thinking_tokens=800.0,
        prompt_tokens=300.0,
    ),
    "constant": Shape(3 * _HOUR, _constantly(10.0), _constantly(THINK_ON_SHARE)),
}
"""By name, as `--synthetic` takes them."""


def make_trace(name: str, *, intensity: float = 1.0, seed: int = 0) -> Trace:
    """The synthetic trace of this name. `intensity` multiplies its rate. Raises KeyError for another name."""
    return from_shape(name, SHAPES[name], intensity=intensity, seed=seed)


def from_shape(name: str, shape: Shape, *, intensity: float = 1.0, warmup: float = _WARMUP, seed: int = 0) -> Trace:
    """Poisson arrivals by the shape's rate, thinned from its highest (Lewis and Shedler, 1979)."""
    rng = np.random.default_rng(seed)
    length = warmup + shape.seconds

    def rate(t: Floats) -> Floats:
        return shape.rate(np.maximum(t - warmup, 0.0)) * intensity

    highest = float(rate(np.arange(0.0, length, 1.0, dtype=np.float64)).max()) * 1.01
    candidates = np.sort(rng.uniform(0.0, length, rng.poisson(highest * length)))
    at = candidates[rng.uniform(0.0, highest, len(candidates)) < rate(candidates)]
    count = len(at)
    thinks = rng.random(count) < shape.think_on_share(np.maximum(at - warmup, 0.0))
    return Trace(
        name=f"{name} x{intensity:g}",
        at=at,
        prompt_tokens=_log_normal(rng, shape.prompt_tokens, _PROMPT_SIGMA, _PROMPT_MOST, count),
        hidden_tokens=JUDGE_TOKENS + np.where(thinks, thinking_tokens(count, rng, median=shape.thinking_tokens), 0),
        answer_tokens=_log_normal(rng, _ANSWER_MEDIAN, _ANSWER_SIGMA, _ANSWER_MOST, count),
        thinks=thinks,
        seconds=length,
        warmup_seconds=warmup,
    )


def _log_normal(rng: np.random.Generator, median: float, sigma: float, most: int, count: int) -> Integers:
    return np.clip(rng.lognormal(np.log(median), sigma, count), 1, most).astype(np.int64)
