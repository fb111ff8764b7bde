"""Future-token heads begin as the model itself, and are kept beside its checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from kat_training.errors import ModelError
from kat_training.mtp_heads import MTP_HEADS, load_heads, new_heads, save_heads


@pytest.fixture
def heads() -> nn.ModuleList:
    torch.manual_seed(0)
    return new_heads(2, hidden=8, inner=16)


@pytest.fixture
def hidden() -> Tensor:
    return torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(1))


def test_a_new_head_says_what_the_model_says(heads: nn.ModuleList, hidden: Tensor) -> None:
    assert all(torch.equal(head(hidden), hidden) for head in heads)


def test_a_new_head_can_learn(heads: nn.ModuleList, hidden: Tensor) -> None:
    heads[0](hidden).square().sum().backward()
    slope = heads.get_parameter("0.down.weight").grad
    assert slope is not None
    assert slope.abs().sum() > 0


def test_saved_heads_compute_what_they_did(heads: nn.ModuleList, hidden: Tensor, tmp_path: Path) -> None:
    for head in heads:
        nn.init.normal_(head.get_parameter("down.weight"))
    save_heads(heads, tmp_path)
    loaded = load_heads(tmp_path)
    assert len(loaded) == 2
    for before, after in zip(heads, loaded, strict=True):
        torch.testing.assert_close(after(hidden), before(hidden), rtol=0.05, atol=0.05)  # bfloat16


def test_a_checkpoint_without_heads_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has no heads that can be loaded"):
        load_heads(tmp_path)


def test_damaged_heads_are_refused(tmp_path: Path) -> None:
    (tmp_path / MTP_HEADS).write_bytes(b"damaged")
    with pytest.raises(ModelError, match="has no heads that can be loaded"):
        load_heads(tmp_path)
