"""Attention over grouped heads without copying keys and values for each head of a group.

Before 5.2x, and for prompts still, transformers repeats the keys and values of a group for each of its query heads when
there is a mask; at a few hundred tokens that copy takes ten times as long as the attention itself. Here the heads of a
group stand in the place of further queries.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

GROUPED_ATTENTION = "kat_grouped"
"""Name for `attn_implementation`, once this module is imported."""

_UNSUPPORTED = ("softcap", "s_aux", "position_bias")


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """What transformers asks of an attention implementation.

    Args:
        module: the attention layer; the shapes say all that is needed of it.
        query: [rows, heads, queries, width].
        key: [rows, groups, columns, width].
        value: [rows, groups, columns, width of a value].
        attention_mask: added to the scores, [rows, 1, queries, columns]; None is causal.
        scaling: of the scores; None is one over the square root of the width.
        options: whatever else the layer has; only what would change the result is refused.

    Returns:
        [rows, queries, heads, width of a value], and no weights.

    Raises:
        ValueError: the layer wants something that is not done here.
    """
    del module
    for name in _UNSUPPORTED:
        if options.get(name) is not None:
            raise ValueError(f"the model's attention uses {name}, which this engine does not support")
    rows, heads, queries, width = query.shape
    if attention_mask is None:
        mixed = scaled_dot_product_attention(
            query, key, value, is_causal=queries > 1, scale=scaling, enable_gqa=heads != key.shape[1]
        )
        return mixed.transpose(1, 2).contiguous(), None
    groups = key.shape[1]
    members = heads // groups
    packed = query.reshape(rows, groups, members * queries, width)
    # A single query shares its mask with its group by broadcasting.
    mask = attention_mask if queries == 1 else attention_mask.repeat(1, 1, members, 1)
    mixed = scaled_dot_product_attention(packed, key, value, attn_mask=mask, scale=scaling)
    return mixed.reshape(rows, heads, queries, value.shape[-1]).transpose(1, 2).contiguous(), None


AttentionInterface.register(GROUPED_ATTENTION, grouped_attention)
