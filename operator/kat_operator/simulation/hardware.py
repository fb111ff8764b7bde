"""How fast a replica is, and how much fits: cited figures by default, or a benchmark's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

_TO_KAT: Final = 40.57 / 35.3
"""Billions of weights that one GPU reads and computes with: KAT-V1-40B on one, Llama-3.3-70B on two."""
_NIM_PREFILL: Final = 12_300.0
"""NVIDIA's figure for a prompt of 5,000 tokens alone: 406.77 ms to its first token."""
_NIM_STEP: Final = ((1, 18.6), (5, 17.9), (25, 19.1), (50, 20.2), (100, 23.6))
"""Concurrency, and milliseconds of a decoding step: the published time between tokens, less the share of time in which
prompts were read (throughput / 500 x 5,000 tokens / 12,300)."""


class BadBenchmark(ValueError):
    """The file holds no throughput by concurrency."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """One replica.

    By default KAT-V1-40B in FP8 on one H100 with 80 GB. Its speed is scaled from NVIDIA's published measurements of
    Llama-3.3-70B-Instruct in FP8 on two H100 (docs.nvidia.com/nim/benchmarking/llm/1.0.0/performance, 5,000 tokens in
    and 500 out), since both have much the same work on each GPU; the published times between tokens at 1 to 100
    concurrent requests come out within a tenth. The KV cache is what `kat plan` reckons.
    """

    concurrency: tuple[float, ...] = tuple(float(point) for point, _ in _NIM_STEP)
    tokens_per_second: tuple[float, ...] = tuple(point * 1_000 / (step * _TO_KAT) for point, step in _NIM_STEP)
    """Output tokens of all requests together at that concurrency, while no prompt is read."""
    prefill_tokens_per_second: float = _NIM_PREFILL / _TO_KAT
    """Prompt tokens, while nothing else runs."""
    chunk_tokens: int = 2_048
    """Prompt tokens in one engine step; running requests get one token in each (chunked prefill)."""
    kv_tokens: int = 98_080
    """Tokens of prompts and completions that fit."""
    max_concurrent: int = 32
    """Requests that run at once; more wait."""
    max_queued: int = 128
    """Requests that wait; more are refused. The predictor's default."""
    max_queued_tokens: int = 262_144
    """Prompt and completion tokens of waiting requests; more are refused. The predictor's default."""
    gpus: int = 1
    startup_seconds: tuple[float, float] = (120.0, 480.0)
    """From asking for a replica to its first request: drawn evenly from this range."""
    step_seconds: tuple[float, ...] = field(init=False)
    """Of a decoding step, by the number of requests that decode: 0 to `max_concurrent`."""

    def __post_init__(self) -> None:
        running = np.arange(1, self.max_concurrent + 1, dtype=np.float64)
        rates = np.interp(running, self.concurrency, self.tokens_per_second)
        # Below the first point measured, requests do not slow one another down.
        rates = np.minimum(rates, running * self.tokens_per_second[0] / self.concurrency[0])
        object.__setattr__(self, "step_seconds", (0.0, *(running / rates).tolist()))


def calibrated(path: Path, *, prefill_tokens_per_second: float | None = None) -> Hardware:
    """A replica as fast as a result of `bench/engine.py` says.

    That benchmark has short prompts, so that it tells little of reading them: without `prefill_tokens_per_second` a
    prompt token costs as much, against an output token alone, as on the default hardware.

    Raises:
        BadBenchmark: The file is no such result.
    """
    try:
        document: Mapping[str, Any] = orjson.loads(path.read_bytes())
        rates = document.get("result", document)["predictor"]["tokens_per_second"]
        points = sorted((float(concurrency), float(rate)) for concurrency, rate in rates.items())
    except (KeyError, TypeError, AttributeError, ValueError) as fault:
        raise BadBenchmark(f"{path} is no result of bench/engine.py: {fault!r}") from fault
    if not points or any(concurrency <= 0 or rate <= 0 for concurrency, rate in points):
        raise BadBenchmark(f"{path} holds no throughput by concurrency")
    concurrency, rates_at = zip(*points, strict=True)
    default = Hardware()
    alone = rates_at[0] / concurrency[0]
    scale = default.prefill_tokens_per_second / (default.tokens_per_second[0] / default.concurrency[0])
    return Hardware(
        concurrency=concurrency,
        tokens_per_second=rates_at,
        prefill_tokens_per_second=prefill_tokens_per_second or alone * scale,
    )
