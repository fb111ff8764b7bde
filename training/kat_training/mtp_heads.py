"""Future-token heads: small blocks over a model's last hidden state that say the tokens behind the next one."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from kat_training.errors import ModelError

MTP_HEADS: Final = "mtp_heads.safetensors"
"""Their file, beside the checkpoint's own, which any engine loads without them."""


class FutureTokenHead(nn.Module):
    """RMSNorm and a gated block, added to what comes in; the model's own unembedding makes logits of it.

    It begins as the identity, so that its first logits are the model's for the next token, and not noise.
    """

    def __init__(self, hidden: int, inner: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(hidden, eps=1e-6)
        self.gate = nn.Linear(hidden, inner, bias=False)
        self.up = nn.Linear(hidden, inner, bias=False)
        self.down = nn.Linear(inner, hidden, bias=False)
        nn.init.zeros_(self.down.weight)

    def forward(self, hidden: Tensor) -> Tensor:
        """Last hidden states, (…, hidden), to those that the unembedding reads for this head."""
        normed = self.norm(hidden)
        out: Tensor = hidden + self.down(functional.silu(self.gate(normed)) * self.up(normed))
        return out


def new_heads(count: int, *, hidden: int, inner: int) -> nn.ModuleList:
    """Heads for 1 to `count` tokens behind the next one; their first values are drawn from torch's generator."""
    return nn.ModuleList(FutureTokenHead(hidden, inner) for _ in range(count))


def save_heads(heads: nn.ModuleList, folder: Path) -> None:
    """Write them beside a checkpoint, in bfloat16 as it is."""
    values = {name: value.to(torch.bfloat16).contiguous() for name, value in heads.state_dict().items()}
    save_file(values, folder / MTP_HEADS)


def load_heads(folder: Path) -> nn.ModuleList:
    """Those of a checkpoint, in float32.

    Raises:
        ModelError: There are none, or they are damaged.
    """
    try:
        values = load_file(folder / MTP_HEADS)
        inner, hidden = values["0.gate.weight"].shape
        heads = new_heads(len({name.partition(".")[0] for name in values}), hidden=hidden, inner=inner)
        heads.load_state_dict(values)
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise ModelError(f"{folder} has no heads that can be loaded: {error}") from error
    return heads
