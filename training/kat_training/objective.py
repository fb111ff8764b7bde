"""From a batch to what plain training learns from it, the cross-entropy of the next token."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from kat_training.batches import Batch
from kat_training.distillation_loss import label_loss, predicting, targets

Objective = Callable[[PreTrainedModel, Batch], Tensor]
"""A model and a batch to the loss."""


def label_objective(model: PreTrainedModel, batch: Batch) -> Tensor:
    """Plain fine-tuning: cross-entropy of the next token."""
    labels = batch["labels"]
    with bfloat16(model):
        logits = unembedding(model)(hidden_states(model, batch)[predicting(labels, 0)])
    return label_loss(logits, targets(labels, 0))


def hidden_states(model: PreTrainedModel, batch: Batch) -> Tensor:
    """The last hidden states behind the final norm, (batch, length, hidden)."""
    read = {name: value for name, value in batch.items() if name != "labels"}
    out = model.base_model(**read, use_cache=False)
    states: Tensor = out.last_hidden_state
    return states


def unembedding(model: PreTrainedModel) -> nn.Module:
    """What makes logits, (n, vocabulary), of hidden states."""
    found: nn.Module = model.get_output_embeddings()  # type: ignore[no-untyped-call] # not typed there
    return found


def bfloat16(model: PreTrainedModel) -> torch.autocast:
    """The trainer's own autocast is around the model's forward, which would make logits of the prompt, too."""
    return torch.autocast(model.device.type, dtype=torch.bfloat16)
