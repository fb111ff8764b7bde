"""Token ratios: measured with an interval where the sample is large enough, else cited, else none."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from kat.usage_event import Mode
from kat_metering.baselines import RatioLabel
from kat_metering.defaults import default_baselines
from kat_metering.methods import NoRatio
from kat_metering.token_ratios import (
    MINIMUM_SAMPLES,
    RatioBook,
    RatioEstimate,
    ShadowPairs,
    Stratum,
    bootstrap_ratios,
    percentile_interval,
    prompt_bucket,
)

DEEPSEEK = next(baseline for baseline in default_baselines() if baseline.name == "deepseek-r1-0528")
DENSE = next(baseline for baseline in default_baselines() if baseline.name == "dense-200b")
HUMANEVAL = Stratum("KAT-V1-40B", Mode.ON, "humaneval", "0-255")
UNNAMED = HUMANEVAL._replace(task="")


def pairs(ours: Sequence[int], baseline: Sequence[int]) -> ShadowPairs:
    return ShadowPairs(np.array(ours, dtype=np.int64), np.array(baseline, dtype=np.int64))


def bootstrapped(pairs: ShadowPairs, rng: np.random.Generator, replicates: int = 2_000) -> NDArray[np.float64]:
    return bootstrap_ratios(pairs.ours, pairs.baseline, rng, replicates)


def synthetic(rng: np.random.Generator, size: int) -> ShadowPairs:
    """Pairs with long tails whose true ratio of means is 2.5."""
    ours = rng.lognormal(6, 0.8, size)
    baseline = 2.5 * ours * rng.lognormal(-0.125, 0.5, size)
    return ShadowPairs(ours.astype(np.int64) + 1, baseline.astype(np.int64) + 2)


def test_the_ratio_is_the_ratio_of_sums_not_the_mean_of_ratios() -> None:
    samples = {UNNAMED: pairs([10, 1000] * 15, [100, 1000] * 15)}
    found = RatioBook(DENSE, samples, seed=1).find(UNNAMED)
    assert isinstance(found, RatioEstimate)
    assert (found.ratio, found.label, found.samples) == (Fraction(1100, 1010), RatioLabel.MEASURED, 30)


def test_the_interval_holds_the_true_ratio_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(200):
        low, high = percentile_interval(bootstrapped(synthetic(rng, 150), rng, replicates=500))
        covered += low <= 2.5 <= high
    # 95 % nominal; the percentile interval is known to fall a little short on long tails.
    assert 0.90 <= covered / 200 <= 0.99


def test_the_interval_shrinks_with_the_sample() -> None:
    rng = np.random.default_rng(3)
    widths = []
    for size in (50, 5_000):
        low, high = percentile_interval(bootstrapped(synthetic(rng, size), rng))
        widths.append(high - low)
    assert widths[1] < widths[0] / 4


def test_the_same_seed_gives_the_same_interval_whatever_other_strata_there_are() -> None:
    sample = synthetic(np.random.default_rng(5), 60)
    alone = RatioBook(DENSE, {UNNAMED: sample}, seed=1)
    among = RatioBook(DENSE, {HUMANEVAL: sample, UNNAMED: sample}, seed=1)
    among.find(HUMANEVAL)
    found = [book.find(UNNAMED) for book in (alone, among)]
    assert all(isinstance(each, RatioEstimate) for each in found)
    assert found[0].interval == found[1].interval  # type: ignore[union-attr] # asserted above


def test_a_sample_below_the_minimum_gives_way_to_the_cited_ratio() -> None:
    few = pairs([10] * (MINIMUM_SAMPLES - 1), [90] * (MINIMUM_SAMPLES - 1))
    found = RatioBook(DEEPSEEK, {HUMANEVAL: few}, seed=1).find(HUMANEVAL)
    assert isinstance(found, RatioEstimate)
    assert (found.ratio, found.label, found.interval) == (Fraction(5, 2), RatioLabel.CITED, None)


def test_a_large_enough_sample_beats_the_cited_ratio() -> None:
    found = RatioBook(DEEPSEEK, {HUMANEVAL: pairs([10] * 30, [12] * 30)}, seed=1).find(HUMANEVAL)
    assert isinstance(found, RatioEstimate)
    assert (found.ratio, found.label) == (Fraction(6, 5), RatioLabel.MEASURED)


def test_without_sample_and_cited_ratio_nothing_is_claimed() -> None:
    assert RatioBook(DEEPSEEK, {}, seed=1).find(UNNAMED) is NoRatio.NO_SHADOW_SAMPLE


def test_with_too_few_samples_and_no_cited_ratio_nothing_is_claimed() -> None:
    assert RatioBook(DEEPSEEK, {UNNAMED: pairs([1], [2])}, seed=1).find(UNNAMED) is NoRatio.TOO_FEW_SAMPLES


def test_a_sample_of_empty_answers_gives_no_ratio() -> None:
    assert RatioBook(DENSE, {UNNAMED: pairs([0] * 40, [5] * 40)}, seed=1).find(UNNAMED) is NoRatio.TOO_FEW_SAMPLES


def test_a_resample_of_empty_answers_alone_is_drawn_again() -> None:
    ratios = bootstrapped(pairs([0, 4], [1, 8]), np.random.default_rng(1), replicates=100)
    assert np.isfinite(ratios).all()


def test_more_pairs_than_one_chunk_holds_are_all_drawn_from() -> None:
    size = 3_000_000
    ratios = bootstrapped(pairs([1] * size, [2] * size), np.random.default_rng(1), replicates=3)
    assert ratios.tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ("tokens", "bucket"),
    [(0, "0-255"), (255, "0-255"), (256, "256-1023"), (1023, "256-1023"), (1024, "1024-4095"), (4096, "4096+")],
)
def test_prompt_lengths_fall_into_four_classes(tokens: int, bucket: str) -> None:
    assert prompt_bucket(tokens) == bucket
