"""Made-up traces."""

from __future__ import annotations

import numpy as np
import pytest

from kat_operator.simulation.synthetic import SHAPES, Shape, from_shape, make_trace
from kat_operator.simulation.trace import Floats, Trace

FEW = 0.2


def scored_part(trace: Trace, start: float, end: float) -> Floats:
    at = trace.at - trace.warmup_seconds
    return at[(at >= start) & (at < end)]


@pytest.mark.parametrize("name", SHAPES)
def test_the_same_seed_makes_the_same_trace(name: str) -> None:
    one, other, third = (make_trace(name, intensity=FEW, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.at, other.at)
    assert np.array_equal(one.hidden_tokens, other.hidden_tokens)
    assert not np.array_equal(one.at[:50], third.at[:50])


@pytest.mark.parametrize("name", SHAPES)
def test_requests_come_in_order_and_inside_the_trace(name: str) -> None:
    trace = make_trace(name, intensity=FEW)
    assert np.all(np.diff(trace.at) >= 0)
    assert 0 <= trace.at[0] <= trace.at[-1] <= trace.seconds
    assert np.all(trace.answer_tokens >= 1)


def test_rates_follow_the_shape() -> None:
    shape = Shape(1_000.0, lambda t: np.where(t < 500.0, 2.0, 8.0), np.zeros_like)
    trace = from_shape("steps", shape, warmup=100.0)
    assert len(scored_part(trace, 0, 500)) == pytest.approx(1_000, rel=0.15)
    assert len(scored_part(trace, 500, 1_000)) == pytest.approx(4_000, rel=0.1)


def test_intensity_multiplies_the_rate() -> None:
    assert len(make_trace("constant", intensity=0.4)) == pytest.approx(
        2 * len(make_trace("constant", intensity=0.2)), rel=0.05
    )


def test_a_mode_shift_changes_the_mix_and_not_the_rate() -> None:
    trace = make_trace("mode-shift", intensity=FEW)
    before, after = scored_part(trace, 0, 10_800), scored_part(trace, 12_000, 14_400)
    assert len(before) / 10_800 == pytest.approx(len(after) / 2_400, rel=0.05)
    at = trace.at - trace.warmup_seconds
    assert trace.thinks[(at >= 0) & (at < 10_800)].mean() == pytest.approx(0.1, abs=0.02)
    assert trace.thinks[at >= 12_000].mean() == pytest.approx(0.6, abs=0.03)


def test_the_warm_up_is_like_the_first_minute() -> None:
    trace = make_trace("diurnal", intensity=FEW)
    warmup = len(trace.at[trace.at < trace.warmup_seconds]) / trace.warmup_seconds
    assert warmup == pytest.approx(len(scored_part(trace, 0, 600)) / 600, rel=0.2)
