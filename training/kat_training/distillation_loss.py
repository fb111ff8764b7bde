"""The losses of multi-token-prediction distillation, as functions of tensors.

`ahead` is 0 for the model's own next token and i for head i. At position t that is the token at t + 1 + ahead, and the
teacher's soft target for it stands at the teacher's own position t + ahead, where it has read one token less.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

NOT_LEARNT: Final = -100
"""The label of tokens that losses leave out: the prompt and the padding."""


def predicting(labels: Tensor, ahead: int) -> Tensor:
    """Where something `ahead` is to be predicted: the model writes there, and the completion goes on that far.

    Args:
        labels: Token ids or `NOT_LEARNT`, (batch, length); what is to be learnt in a row is without gaps.
        ahead: Tokens behind the next one.

    Returns:
        Booleans, (batch, length).
    """
    learnt = labels != NOT_LEARNT
    return _shifted(learnt, 1, fill=False) & _shifted(learnt, 1 + ahead, fill=False)


def targets(labels: Tensor, ahead: int) -> Tensor:
    """The token ids to predict, (n,), in the order of `predicting`'s positions."""
    return _shifted(labels, 1 + ahead, fill=NOT_LEARNT)[predicting(labels, ahead)]


def taught_rows(labels: Tensor, ahead: int) -> Tensor:
    """Which of the teacher's rows are the soft targets `ahead`, (n,): it is asked once, where `predicting(labels, 0)`."""
    asked = predicting(labels, 0)
    row = (asked.flatten().cumsum(0) - 1).view_as(asked)
    return _shifted(row, ahead, fill=0)[predicting(labels, ahead)]


def soft_loss(logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """KL divergence of the student from the teacher, both softened; nats a position, times the temperature squared.

    The square keeps the gradients' size when the temperature is changed (Hinton et al., arXiv 1503.02531, section 2).

    Args:
        logits: Of the student, (n, vocabulary).
        teacher_logits: Likewise; no gradient goes there.
        temperature: Above 0.
    """
    ours = functional.log_softmax(logits.float() / temperature, dim=-1)
    theirs = functional.log_softmax(teacher_logits.detach().float() / temperature, dim=-1)
    divergence = functional.kl_div(ours, theirs, reduction="sum", log_target=True)
    return divergence * temperature**2 / max(len(logits), 1)


def label_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy, nats a position; 0 where there are none, as for a head that looks past a short completion."""
    return functional.cross_entropy(logits.float(), wanted, reduction="sum") / max(len(logits), 1)


def mixed(soft: Tensor, hard: Tensor, soft_share: float) -> Tensor:
    """What one head learns from: the teacher's opinion and the corpus' own tokens."""
    return soft_share * soft + (1 - soft_share) * hard


def joined(losses: list[Tensor], heads_share: float) -> Tensor:
    """The loss of the next token, and the heads' mean beside it, `heads_share` times."""
    own, *heads = losses
    return own + heads_share * torch.stack(heads).mean() if heads else own


def _shifted(values: Tensor, by: int, *, fill: float) -> Tensor:
    """Column t holds what column t + `by` held."""
    moved = torch.full_like(values, fill)
    kept = max(values.shape[1] - by, 0)
    moved[:, :kept] = values[:, values.shape[1] - kept :]
    return moved
