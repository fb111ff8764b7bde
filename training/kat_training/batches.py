"""Batches of samples of different lengths: padded behind, or several samples in a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from kat_training.distillation_loss import NOT_LEARNT

Batch = Mapping[str, Tensor]
"""`input_ids`, `labels` and what tells samples and padding apart, `attention_mask` or `position_ids`: (rows, length)."""


def padded(examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """A row for each of `examples.dataset`'s. Which token pads is one: attention and loss leave it out."""
    ids = [torch.tensor(each["input_ids"]) for each in examples]
    labels = [torch.tensor(each["labels"]) for each in examples]
    return {
        "input_ids": pad_sequence(ids, batch_first=True),
        "attention_mask": pad_sequence([torch.ones_like(each) for each in ids], batch_first=True),
        "labels": pad_sequence(labels, batch_first=True, padding_value=NOT_LEARNT),
    }


def packed(examples: Sequence[Mapping[str, Any]], *, capacity: int) -> dict[str, Tensor]:
    """Several of `examples.dataset`'s in a row: of a default corpus in random batches of twelve, half would be padding.

    Positions begin anew with each sample. Without an attention mask, Transformers takes that for where one ends, and lets
    none see another.
    """
    rows = shelves([len(each["input_ids"]) for each in examples], capacity)

    def joined(name: str) -> list[Tensor]:
        return [torch.cat([torch.tensor(examples[index][name]) for index in row]) for row in rows]

    positions = [torch.cat([torch.arange(len(examples[index]["input_ids"])) for index in row]) for row in rows]
    return {
        "input_ids": pad_sequence(joined("input_ids"), batch_first=True),
        "labels": pad_sequence(joined("labels"), batch_first=True, padding_value=NOT_LEARNT),
        "position_ids": pad_sequence(positions, batch_first=True),
    }


def shelves(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Indices of the lengths in rows whose sum is at most the capacity, by first fit of the longest first.

    A length beyond the capacity gets a row of its own.
    """
    rows: list[list[int]] = []
    free: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda each: -lengths[each]):
        for row, room in enumerate(free):
            if lengths[index] <= room:
                rows[row].append(index)
                free[row] -= lengths[index]
                break
        else:
            rows.append([index])
            free.append(capacity - lengths[index])
    return rows
