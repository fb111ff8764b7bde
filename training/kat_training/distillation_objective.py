"""From a batch to what a student learns from it, and how well a model does on batches that it never saw."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from kat_training.batches import Batch
from kat_training.distillation_loss import (
    joined,
    label_loss,
    mixed,
    predicting,
    soft_loss,
    targets,
    taught_rows,
)
from kat_training.distillation_plan import DistillationPlan, HeldOut
from kat_training.objective import Objective, bfloat16, hidden_states, unembedding


def soft_objective(teacher: PreTrainedModel, heads: nn.ModuleList, plan: DistillationPlan) -> Objective:
    """What a student with these heads learns from the teacher, which is asked on the fly and where something is learnt.

    A stored copy of its logits would take 4 bytes x vocabulary for each token: 200 kB with SmolLM2's 49,152.
    """

    def objective(student: PreTrainedModel, batch: Batch) -> Tensor:
        labels = batch["labels"]
        unembed = unembedding(student)
        with bfloat16(student):
            with torch.no_grad():
                taught = unembedding(teacher)(hidden_states(teacher, batch)[predicting(labels, 0)])
            hidden = hidden_states(student, batch)
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
        with bfloat16(model):
            hidden = hidden_states(model, batch)
        for ahead, block in enumerate(blocks):
            wanted = targets(batch["labels"], ahead)
            with bfloat16(model):
                logits = unembed(block(hidden[predicting(batch["labels"], ahead)]))
            losses[ahead] += len(wanted) * label_loss(logits, wanted).item()
            right[ahead] += (logits.argmax(-1) == wanted).sum().item()
            tokens[ahead] += len(wanted)

    def each(sums: list[float]) -> list[float]:
        return [value / max(count, 1) for value, count in zip(sums, tokens, strict=True)]

    return HeldOut(losses=each(losses), accuracies=each(right))
