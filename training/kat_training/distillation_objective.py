"""From a batch to what a student learns from it, and how well a model does on batches that it never saw."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from kat_training.distillation_loss import (
    NOT_LEARNT,
    joined,
    label_loss,
    mixed,
    predicting,
    soft_loss,
    targets,
    taught_rows,
)
from kat_training.distillation_plan import DistillationPlan, HeldOut

Batch = Mapping[str, Tensor]
"""`input_ids`, `labels` and what tells samples and padding apart, `attention_mask` or `position_ids`: (batch, length)."""
Objective = Callable[[PreTrainedModel, Batch], Tensor]
"""A model and a batch to the loss."""


def collate(examples: list[dict[str, Any]]) -> dict[str, Tensor]:
    """Rows of `examples.dataset` as a batch, padded behind. Which token pads is one: attention and loss leave it out."""
    ids = [torch.tensor(each["input_ids"]) for each in examples]
    labels = [torch.tensor(each["labels"]) for each in examples]
    return {
        "input_ids": pad_sequence(ids, batch_first=True),
        "attention_mask": pad_sequence([torch.ones_like(each) for each in ids], batch_first=True),
        "labels": pad_sequence(labels, batch_first=True, padding_value=NOT_LEARNT),
    }


def label_objective(model: PreTrainedModel, batch: Batch) -> Tensor:
    """Plain fine-tuning: cross-entropy of the next token."""
    labels = batch["labels"]
    with _bfloat16(model):
        logits = unembedding(model)(_hidden(model, batch)[predicting(labels, 0)])
    return label_loss(logits, targets(labels, 0))


def soft_objective(teacher: PreTrainedModel, heads: nn.ModuleList, plan: DistillationPlan) -> Objective:
    """What a student with these heads learns from the teacher, which is asked on the fly and where something is learnt.

    A stored copy of its logits would take 4 bytes x vocabulary for each token: 200 kB with SmolLM2's 49,152.
    """

    def objective(student: PreTrainedModel, batch: Batch) -> Tensor:
        labels = batch["labels"]
        unembed = unembedding(student)
        with _bfloat16(student):
            with torch.no_grad():
                taught = unembedding(teacher)(_hidden(teacher, batch)[predicting(labels, 0)])
            hidden = _hidden(student, batch)
            losses = []
            for ahead, block in enumerate([nn.Identity(), *heads]):
                logits = unembed(block(hidden[predicting(labels, ahead)]))
                soft = soft_loss(logits, taught[taught_rows(labels, ahead)], plan.temperature)
                losses.append(mixed(soft, label_loss(logits, targets(labels, ahead)), plan.soft_share))
        return joined(losses, plan.heads_share)

    return objective


@torch.no_grad()
def measure(model: PreTrainedModel, batches: Iterable[Batch], heads: nn.ModuleList | None = None) -> HeldOut:
    """Loss and accuracy of a model, and of its heads, over all tokens to be learnt."""
    blocks = [nn.Identity(), *(heads or ())]
    losses, right, tokens = ([0.0] * len(blocks) for _ in range(3))
    model.train(mode=False)
    unembed = unembedding(model)
    for on_host in batches:
        batch = {name: value.to(model.device) for name, value in on_host.items()}
        with _bfloat16(model):
            hidden = _hidden(model, batch)
        for ahead, block in enumerate(blocks):
            wanted = targets(batch["labels"], ahead)
            with _bfloat16(model):
                logits = unembed(block(hidden[predicting(batch["labels"], ahead)]))
            losses[ahead] += len(wanted) * label_loss(logits, wanted).item()
            right[ahead] += (logits.argmax(-1) == wanted).sum().item()
            tokens[ahead] += len(wanted)

    def each(sums: list[float]) -> list[float]:
        return [value / max(count, 1) for value, count in zip(sums, tokens, strict=True)]

    return HeldOut(losses=each(losses), accuracies=each(right))


def unembedding(model: PreTrainedModel) -> nn.Module:
    """What makes logits, (n, vocabulary), of hidden states."""
    found: nn.Module = model.get_output_embeddings()  # type: ignore[no-untyped-call] # not typed there
    return found


def _hidden(model: PreTrainedModel, batch: Batch) -> Tensor:
    """The last hidden states behind the final norm, (batch, length, hidden)."""
    read = {name: value for name, value in batch.items() if name != "labels"}
    out = model.base_model(**read, use_cache=False)
    states: Tensor = out.last_hidden_state
    return states


def _bfloat16(model: PreTrainedModel) -> torch.autocast:
    """The trainer's own autocast is around the model's forward, which would make logits of the prompt, too."""
    return torch.autocast(model.device.type, dtype=torch.bfloat16)
