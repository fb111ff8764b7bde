from __future__ import annotations

import pytest
import torch

from kat_predictor.engines.attention import grouped_attention

ROWS, GROUPS, MEMBERS, COLUMNS, WIDTH = 2, 3, 4, 7, 8


def by_hand(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor, scaling: float
) -> torch.Tensor:
    """The definition, with keys and values repeated for each head of a group."""
    key, value = (part.repeat_interleave(MEMBERS, dim=1) for part in (key, value))
    weights = (query @ key.transpose(2, 3) * scaling + mask).softmax(-1)
    return (weights @ value).transpose(1, 2)


def tensors(queries: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(queries)
    query = torch.randn(ROWS, GROUPS * MEMBERS, queries, WIDTH, generator=source)
    key = torch.randn(ROWS, GROUPS, COLUMNS, WIDTH, generator=source)
    value = torch.randn(ROWS, GROUPS, COLUMNS, WIDTH // 2, generator=source)
    hidden = torch.rand(ROWS, 1, queries, COLUMNS, generator=source) < 0.5
    hidden[..., 0] = False
    return query, key, value, torch.zeros(hidden.shape).masked_fill(hidden, -torch.inf)


@pytest.mark.parametrize("queries", [1, 2, 5])
def test_it_is_attention_with_a_mask_of_each_query_and_row(queries: int) -> None:
    query, key, value, mask = tensors(queries)

    mixed, _ = grouped_attention(torch.nn.Identity(), query, key, value, mask, scaling=0.3)

    torch.testing.assert_close(mixed, by_hand(query, key, value, mask, 0.3))


def test_without_a_mask_it_is_causal() -> None:
    query, key, value, _ = tensors(COLUMNS)
    causal = torch.full((COLUMNS, COLUMNS), -torch.inf).triu(1)

    mixed, _ = grouped_attention(torch.nn.Identity(), query, key, value, None, scaling=0.3)

    torch.testing.assert_close(mixed, by_hand(query, key, value, causal, 0.3))


@pytest.mark.parametrize("option", ["softcap", "s_aux", "position_bias"])
def test_an_option_that_would_change_the_result_is_refused_rather_than_ignored(option: str) -> None:
    query, key, value, mask = tensors(1)

    with pytest.raises(ValueError, match=option):
        grouped_attention(torch.nn.Identity(), query, key, value, mask, **{option: 1.0})
