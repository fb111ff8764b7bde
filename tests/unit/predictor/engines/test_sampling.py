from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kat_predictor.engines.base import Sampling
from kat_predictor.engines.sampling import Draw, draw_tokens, raw_logprobs

CPU = torch.device("cpu")
LOGITS = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05]))


def draws(count: int, **settings: object) -> list[Draw]:
    return [
        Draw(Sampling(**{"max_tokens": 1, "seed": seed, **settings}), CPU)  # type: ignore[arg-type] # test's shorthand
        for seed in range(count)
    ]


def frequencies(count: int = 4000, **settings: object) -> list[float]:
    """How often each of four tokens is drawn, by as many rows with a seed each."""
    counts = Counter(draw_tokens(LOGITS.expand(count, -1), draws(count, **settings)))
    return [counts[token] / count for token in range(4)]


def test_temperature_nought_takes_the_likeliest() -> None:
    assert draw_tokens(LOGITS[None], draws(1, temperature=0)) == [0]


def test_tokens_are_drawn_as_often_as_the_model_says() -> None:
    assert frequencies() == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.03)


def test_temperature_flattens_and_sharpens() -> None:
    sharpened = [p**2 for p in (0.5, 0.3, 0.15, 0.05)]

    assert frequencies(temperature=0.5) == pytest.approx([p / sum(sharpened) for p in sharpened], abs=0.03)


def test_a_tiny_temperature_is_greedy_and_not_an_overflow() -> None:
    assert draw_tokens(1000 * LOGITS[None], draws(1, temperature=1e-6)) == [0]


def test_top_p_keeps_the_fewest_tokens_that_reach_it() -> None:
    assert frequencies(top_p=0.7) == pytest.approx([0.5 / 0.8, 0.3 / 0.8, 0, 0], abs=0.03)


def test_a_tiny_top_p_keeps_the_likeliest() -> None:
    assert frequencies(count=50, top_p=1e-9) == [1, 0, 0, 0]


def test_a_nucleus_wider_than_the_part_sorted_first_is_still_exact() -> None:
    """An even distribution over 4,000 tokens: the nucleus of one half must hold the half that ranks first."""
    logits = torch.linspace(1e-3, 0, 4000)[None].expand(500, -1)

    drawn = draw_tokens(logits, draws(500, top_p=0.5))

    assert max(drawn) < 2001
    assert max(drawn) > 1900


def test_a_seed_draws_the_same_tokens_whatever_else_is_in_the_batch() -> None:
    [alone] = draws(1, seed=11)
    [together] = draws(1, seed=11)
    others = draws(5, temperature=2.0, top_p=0.4)
    logits = torch.randn(6, 50, generator=torch.Generator().manual_seed(1))

    apart = [draw_tokens(logits[:1], [alone])[0] for _ in range(20)]
    joined = [draw_tokens(logits, [together, *others])[0] for _ in range(20)]

    assert apart == joined


def test_without_a_seed_two_calls_draw_differently() -> None:
    logits = torch.zeros(2, 50_000)

    first, second = draw_tokens(logits, draws(2, seed=None))

    assert first != second


def test_a_bias_is_added_before_the_draw() -> None:
    assert draw_tokens(LOGITS[None], draws(1, temperature=0, logit_bias={3: 100.0})) == [3]


def test_a_bias_leaves_the_logits_that_are_reported_alone() -> None:
    logits = LOGITS[None].clone()

    draw_tokens(logits, draws(1, logit_bias={3: 100.0}))

    assert torch.equal(logits, LOGITS[None])


def test_only_allowed_tokens_are_drawn_and_in_their_own_proportion() -> None:
    assert frequencies(allowed_token_ids=(1, 2)) == pytest.approx([0, 0.3 / 0.45, 0.15 / 0.45, 0], abs=0.03)


def test_greedy_takes_the_likeliest_of_the_allowed() -> None:
    assert draw_tokens(LOGITS[None], draws(1, temperature=0, allowed_token_ids=(3, 2))) == [2]


def test_rows_with_different_settings_are_drawn_in_one_call() -> None:
    rows = [*draws(1, temperature=0), *draws(1, top_p=0.1), *draws(1, allowed_token_ids=(3,))]

    assert draw_tokens(LOGITS.expand(3, -1), rows) == [0, 0, 3]


def test_a_large_vocabulary_is_drawn_from_evenly() -> None:
    """Chi-squared against an even distribution; 1,000 cells, 50,000 draws, a limit passed once in ten thousand times."""
    cells, count = 1000, 50_000
    rows = draws(500)
    counts = torch.zeros(cells)
    for _ in range(count // len(rows)):
        counts += torch.bincount(torch.tensor(draw_tokens(torch.zeros(len(rows), cells), rows)), minlength=cells)

    expected = count / cells
    assert ((counts - expected) ** 2 / expected).sum() < 1172


@given(seed=st.integers(0, 2**32), top_p=st.sampled_from([0.3, 0.95, 1.0]))
def test_an_impossible_token_is_never_drawn(seed: int, top_p: float) -> None:
    logits = torch.tensor([[-math.inf, 0.0, -math.inf, -1.0, -math.inf]])

    assert draw_tokens(logits, draws(1, seed=seed, top_p=top_p))[0] in {1, 3}


def test_log_probabilities_are_the_models_own_and_only_for_rows_that_ask() -> None:
    reported = raw_logprobs(LOGITS.expand(3, -1), [1, 0, 3], [2, None, 0])

    assert reported.keys() == {0, 2}
    assert reported[0].chosen == pytest.approx(math.log(0.3), abs=1e-5)
    assert reported[0].top_ids == [0, 1]
    assert reported[0].top_values == pytest.approx([math.log(0.5), math.log(0.3)], abs=1e-5)
    assert reported[2].chosen == pytest.approx(math.log(0.05), abs=1e-5)
    assert reported[2].top_ids == []
