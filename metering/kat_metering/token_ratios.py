"""How many tokens the baseline needs for each of ours, by stratum: measured on shadow samples, else cited, else unknown.

The estimator is the ratio of sums, R = Σ baseline tokens / Σ our tokens, with a percentile bootstrap interval over
pairs (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kat.usage_event import Mode
from kat_metering.baselines import Baseline, RatioLabel
from kat_metering.methods import NoRatio

MINIMUM_SAMPLES: Final = 30
REPLICATES: Final = 2_000
LEVEL: Final = 0.95
_CHUNK = 4_000_000  # resampled indices held at once: 32 MB


class Stratum(NamedTuple):
    """Requests that are alike enough to share a token ratio."""

    model: str
    mode: Mode
    task: str
    """The label `task` of the request; empty without one."""
    prompt_bucket: str


_BUCKETS: Final = ((256, "0-255"), (1024, "256-1023"), (4096, "1024-4095"))


def prompt_bucket(prompt_tokens: int) -> str:
    """The class of prompt length that the roll-up puts a request in."""
    return next((name for limit, name in _BUCKETS if prompt_tokens < limit), "4096+")


@dataclass(frozen=True, slots=True)
class ShadowPairs:
    """Completion tokens of both models on the same requests, pair by pair; two arrays of one length."""

    ours: NDArray[np.int64]
    baseline: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RatioEstimate:
    """A token ratio and how it is known."""

    ratio: Fraction
    label: RatioLabel
    source: str
    samples: int = 0
    replicates: NDArray[np.float64] | None = None
    """Bootstrap replicates of the ratio; None for a cited one, which has no interval."""

    @property
    def interval(self) -> tuple[float, float] | None:
        return None if self.replicates is None else percentile_interval(self.replicates)


def percentile_interval(replicates: NDArray[np.float64]) -> tuple[float, float]:
    """The central 95 % of the replicates."""
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(replicates, [tail, 1 - tail])
    return float(low), float(high)


def bootstrap_ratios(pairs: ShadowPairs, rng: np.random.Generator, replicates: int = REPLICATES) -> NDArray[np.float64]:
    """Ratios of sums of `replicates` resamples of the pairs, drawn with replacement. At least one of ours must be > 0."""
    size = len(pairs.ours)
    rows = max(1, _CHUNK // size)
    ratios: list[NDArray[np.float64]] = []
    drawn = 0
    while drawn < replicates:
        picks = rng.integers(0, size, (min(rows, replicates - drawn), size))
        ours = pairs.ours[picks].sum(axis=1)
        # A resample of empty answers alone says nothing of the ratio.
        usable = ours > 0
        ratios.append(pairs.baseline[picks].sum(axis=1)[usable] / ours[usable])
        drawn += int(usable.sum())
    return np.concatenate(ratios)


class RatioBook:
    """Token ratios of one baseline."""

    def __init__(
        self,
        baseline: Baseline,
        samples: Mapping[Stratum, ShadowPairs],
        *,
        seed: int,
        minimum: int = MINIMUM_SAMPLES,
        replicates: int = REPLICATES,
    ) -> None:
        self._baseline = baseline
        self._samples = samples
        self._seed = seed
        self._minimum = minimum
        self._replicates = replicates
        self._measured: dict[Stratum, RatioEstimate] = {}

    def find(self, stratum: Stratum) -> RatioEstimate | NoRatio:
        """The measured ratio; below the minimum of samples the cited one for the task; else why there is none."""
        pairs = self._samples.get(stratum)
        if pairs is not None and len(pairs.ours) >= self._minimum and pairs.ours.any():
            return self._measure(stratum, pairs)
        known = self._baseline.ratio_for(stratum.task) if stratum.task else None
        if known is not None:
            return RatioEstimate(known.ratio, known.label, known.source)
        return NoRatio.NO_SHADOW_SAMPLE if pairs is None else NoRatio.TOO_FEW_SAMPLES

    def _measure(self, stratum: Stratum, pairs: ShadowPairs) -> RatioEstimate:
        if stratum not in self._measured:
            self._measured[stratum] = RatioEstimate(
                ratio=Fraction(int(pairs.baseline.sum()), int(pairs.ours.sum())),
                label=RatioLabel.MEASURED,
                source=f"shadow sample of {len(pairs.ours)} requests",
                samples=len(pairs.ours),
                replicates=bootstrap_ratios(pairs, self._generator(stratum), self._replicates),
            )
        return self._measured[stratum]

    def _generator(self, stratum: Stratum) -> np.random.Generator:
        # Seeded per stratum, so that an interval does not move when another stratum comes or goes.
        digest = hashlib.sha256("\x00".join(stratum).encode("utf-8", "surrogatepass")).digest()
        return np.random.default_rng([self._seed, int.from_bytes(digest[:8])])
