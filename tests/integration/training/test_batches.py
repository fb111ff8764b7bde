"""Rows of several samples hold each of them once, and a model learns the same of them as of padded ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kat_training.base_model import load_base
from kat_training.batches import packed, padded, shelves
from kat_training.objective import label_objective
from tests.fakes.tiny_checkpoint import tiny_checkpoint

CAPACITY = 16
lengths = st.lists(st.integers(1, CAPACITY), max_size=30)
EXAMPLES: list[dict[str, Any]] = [
    {"input_ids": list(range(first, first + length)), "labels": [-100] * 2 + list(range(first + 2, first + length))}
    for first, length in ((1, 5), (50, 11), (90, 3), (20, 8), (130, 16))
]


@given(lengths)
def test_every_sample_is_in_one_row(lengths: list[int]) -> None:
    assert sorted(index for row in shelves(lengths, CAPACITY) for index in row) == list(range(len(lengths)))


@given(lengths)
def test_no_row_is_over_full(lengths: list[int]) -> None:
    assert all(sum(lengths[index] for index in row) <= CAPACITY for row in shelves(lengths, CAPACITY))


@given(lengths)
def test_no_two_rows_would_fit_into_one(lengths: list[int]) -> None:
    sums = sorted(sum(lengths[index] for index in row) for row in shelves(lengths, CAPACITY))
    assert sums[0] + sums[1] > CAPACITY if len(sums) > 1 else True


def test_a_sample_longer_than_a_row_has_one_of_its_own() -> None:
    assert shelves([3, 20, 4], CAPACITY) == [[1], [2, 0]]


def test_positions_begin_anew_with_each_sample() -> None:
    batch = packed([EXAMPLES[0], EXAMPLES[2]], capacity=CAPACITY)
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 4, 0, 1, 2]]


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_what_is_learnt_is_that_of_padded_samples(attention: str, tmp_path: Path) -> None:
    model = load_base(str(tiny_checkpoint(tmp_path)), models_dir=tmp_path).model
    model.set_attn_implementation(attention)
    with torch.no_grad():
        for weights in model.parameters():
            # Of a fresh model nothing depends much on what a token sees.
            weights.mul_(10)
        loss = label_objective(model, packed(EXAMPLES, capacity=CAPACITY))
        assert loss.item() == pytest.approx(label_objective(model, padded(EXAMPLES)).item(), abs=1e-2)
    assert len(packed(EXAMPLES, capacity=CAPACITY)["input_ids"]) < len(EXAMPLES)
