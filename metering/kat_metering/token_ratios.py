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
    """Completion tokens of both models on the same requests, pair by pair; arrays of one length."""

    ours: NDArray[np.int64]
    baseline: NDArray[np.int64]
    no_worse: NDArray[np.int8] | None = None
    """1 where our answer was judged no worse, 0 where worse, -1 where nobody judged. None: nobody judged any."""
    judges: tuple[str, ...] = ()
    """Who judged."""

    def judged(self) -> ShadowPairs:
        """The pairs that somebody judged."""
        if self.no_worse is None:
            return ShadowPairs(self.ours[:0], self.baseline[:0], np.zeros(0, dtype=np.int8))
        known = self.no_worse >= 0
        return ShadowPairs(self.ours[known], self.baseline[known], self.no_worse[known], self.judges)


@dataclass(frozen=True, slots=True)
class RatioEstimate:
    """A token ratio and how it is known."""

    ratio: Fraction
    label: RatioLabel
    source: str
    samples: int = 0
    replicates: NDArray[np.float64] | None = None
    """Bootstrap replicates of the ratio; None for a cited one, which has no interval."""
    no_worse: Fraction | None = None
    """Share of the sampled answers of ours that were judged no worse; None where that was not asked."""

    @property
    def interval(self) -> tuple[float, float] | None:
        return None if self.replicates is None else percentile_interval(self.replicates)


def percentile_interval(replicates: NDArray[np.float64]) -> tuple[float, float]:
    """The central 95 % of the replicates."""
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(replicates, [tail, 1 - tail])
    return float(low), float(high)


def bootstrap_ratios(
    ours: NDArray[np.int64],
    theirs: NDArray[np.int64] | NDArray[np.float64],
    rng: np.random.Generator,
    replicates: int = REPLICATES,
) -> NDArray[np.float64]:
    """Ratios of sums of `replicates` resamples of the pairs, drawn with replacement. At least one of ours must be > 0."""
    size = len(ours)
    rows = max(1, _CHUNK // size)
    ratios: list[NDArray[np.float64]] = []
    drawn = 0
    while drawn < replicates:
        picks = rng.integers(0, size, (min(rows, replicates - drawn), size))
        drawn_ours = ours[picks].sum(axis=1)
        # A resample of empty answers alone says nothing of the ratio.
        usable = drawn_ours > 0
        ratios.append(theirs[picks].sum(axis=1)[usable] / drawn_ours[usable])
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
        self._judged: dict[tuple[Stratum, Fraction], RatioEstimate] = {}

    def find(self, stratum: Stratum) -> RatioEstimate | NoRatio:
        """The measured ratio; below the minimum of samples the cited one for the task; else why there is none."""
        pairs = self._samples.get(stratum)
        if pairs is not None and len(pairs.ours) >= self._minimum and pairs.ours.any():
            return self._measure(stratum, pairs)
        known = self._baseline.ratio_for(stratum.task) if stratum.task else None
        if known is not None:
            return RatioEstimate(known.ratio, known.label, known.source)
        return NoRatio.NO_SHADOW_SAMPLE if pairs is None else NoRatio.TOO_FEW_SAMPLES

    def find_judged(self, stratum: Stratum, break_even: Fraction) -> RatioEstimate | None:
        """The measured ratio where an answer of ours that was judged worse saves nothing; None below the minimum.

        `break_even`: tokens of the baseline that cost as much as one of ours. A worse answer counts with no more of the
        baseline's tokens than cost what it cost us: it saves nothing, and where the baseline would have been cheaper
        the loss stays.
        """
        pairs = self._samples.get(stratum)
        judged = None if pairs is None else pairs.judged()
        if judged is None or len(judged.ours) < self._minimum or not judged.ours.any():
            return None
        key = (stratum, break_even)
        if key not in self._judged:
            self._judged[key] = self._measure_judged(stratum, judged, break_even)
        return self._judged[key]

    def _measure_judged(self, stratum: Stratum, judged: ShadowPairs, break_even: Fraction) -> RatioEstimate:
        assert judged.no_worse is not None  # noqa: S101 - of judged pairs it never is
        fine = judged.no_worse == 1
        worse = zip(judged.ours[~fine].tolist(), judged.baseline[~fine].tolist(), strict=True)
        counted = sum((min(Fraction(theirs), ours * break_even) for ours, theirs in worse), Fraction(0))
        capped = np.where(fine, judged.baseline, np.minimum(judged.baseline, judged.ours * float(break_even)))
        return RatioEstimate(
            ratio=(int(judged.baseline[fine].sum()) + counted) / int(judged.ours.sum()),
            label=RatioLabel.MEASURED,
            source=f"shadow sample of {len(fine)} judged requests, {int(fine.sum())} no worse, judged by"
            f" {', '.join(judged.judges)}",
            samples=len(fine),
            replicates=bootstrap_ratios(judged.ours, capped, self._generator(stratum), self._replicates),
            no_worse=Fraction(int(fine.sum()), len(fine)),
        )

    def _measure(self, stratum: Stratum, pairs: ShadowPairs) -> RatioEstimate:
        if stratum not in self._measured:
            self._measured[stratum] = RatioEstimate(
                ratio=Fraction(int(pairs.baseline.sum()), int(pairs.ours.sum())),
                label=RatioLabel.MEASURED,
                source=f"shadow sample of {len(pairs.ours)} requests",
                samples=len(pairs.ours),
                replicates=bootstrap_ratios(pairs.ours, pairs.baseline, self._generator(stratum), self._replicates),
            )
        return self._measured[stratum]

    def _generator(self, stratum: Stratum) -> np.random.Generator:
        # Seeded per stratum, so that an interval does not move when another stratum comes or goes.
        digest = hashlib.sha256("\x00".join(stratum).encode("utf-8", "surrogatepass")).digest()
        return np.random.default_rng([self._seed, int.from_bytes(digest[:8])])
