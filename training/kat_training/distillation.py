"""Distillation with multi-token prediction: a student learns a teacher's logits while only a part of it is trained.

The stage of KAT-V1 (arXiv 2507.08297) at any size, and the full fine-tuning on the same data that it is to come near to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import torch
from datasets import Dataset
from torch import Tensor, nn
from transformers import PreTrainedModel, set_seed

from kat_training.base_model import Base
from kat_training.batches import padded
from kat_training.distillation_objective import measure, soft_objective
from kat_training.distillation_plan import Comparison, DistillationPlan, HeldOut, Trained
from kat_training.distillation_trainer import train
from kat_training.errors import ModelError
from kat_training.examples import dataset
from kat_training.mtp_heads import new_heads, save_heads
from kat_training.objective import label_objective, unembedding
from kat_training.run_folder import RUN, RunFolder
from kat_training.sample import Sample

STUDENT: Final = "student"
"""A run's folder for its checkpoint."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Examples:
    """A corpus in tokens."""

    learnt: Dataset
    held_out: list[dict[str, Tensor]]
    """In batches."""


def tokenised(learnt: list[Sample], held_out: list[Sample], base: Base, plan: DistillationPlan) -> Examples:
    """Both splits of a corpus, without what is longer than the plan allows.

    Raises:
        CorpusError: A split has no sample that fits.
    """
    kept, unseen = (dataset(split, base.tokenizer, max_length=plan.max_length)[0] for split in (learnt, held_out))
    rows = unseen.to_list()
    return Examples(kept, [padded(rows[first : first + plan.batch]) for first in range(0, len(rows), plan.batch)])


def distil(
    student: Base, teacher: Base, examples: Examples, plan: DistillationPlan, folder: RunFolder, *, progress: Progress
) -> None:
    """Train heads and top layers, or go on with what was begun in the folder; `compared` reads what came of it.

    Args:
        student: The base, in float32; it is changed.
        teacher: Of the same vocabulary; it only computes.
        examples: Those of `tokenised`.
        plan: How to.
        folder: The run's; the student's checkpoint is written there.
        progress: Told how far it is.

    Raises:
        ModelError: The teacher has another vocabulary, or the student fewer layers than are to be trained.
        RunError: The folder cannot be written.
    """
    check_vocabulary(student, teacher)
    model = student.model
    # Before the heads, whose first values are drawn.
    set_seed(plan.seed)
    heads = attach_heads(model, plan)
    teacher.model.requires_grad_(requires_grad=False)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for each in (model, teacher.model):
        nn.Module.to(each, device)
    before, taught = measure(model, examples.held_out), measure(teacher.model, examples.held_out)
    progress(f"held-out loss of the base {before.losses[0]:.4f}, of the teacher {taught.losses[0]:.4f}")
    with folder.writing():
        seconds = train(
            model,
            soft_objective(teacher.model, heads, plan),
            examples.learnt,
            plan,
            folder,
            title="Distillation",
            progress=progress,
        )
        figures = {
            "held_out": asdict(measure(model, examples.held_out, heads)),
            "trainable_parameters": trainable_parameters(model),
            "base": asdict(before),
            "teacher": asdict(taught),
        }
        del model.mtp_heads
        save_heads(heads, _save(student, folder))
        folder.finish(seconds=seconds, **figures)


def fine_tune(
    student: Base, examples: Examples, plan: DistillationPlan, folder: RunFolder, *, progress: Progress
) -> None:
    """What distillation is measured against: every parameter is trained, on the labels alone.

    Raises:
        RunError: The folder cannot be written.
    """
    model = student.model
    with folder.writing():
        seconds = train(
            model, label_objective, examples.learnt, plan, folder, title="Full fine-tuning", progress=progress
        )
        figures = {
            "held_out": asdict(measure(model, examples.held_out)),
            "trainable_parameters": trainable_parameters(model),
        }
        _save(student, folder)
        folder.finish(seconds=seconds, **figures)


def compared(distilled: RunFolder, full: RunFolder | None) -> Comparison:
    """What finished runs came to."""
    read = _figures(distilled)
    return Comparison(
        base=HeldOut(**read["base"]),
        teacher=HeldOut(**read["teacher"]),
        distilled=_trained(read),
        full=None if full is None else _trained(_figures(full)),
    )


def asked_for(stage: str, *, base: str, corpus: Path, plan: DistillationPlan, **more: str) -> dict[str, Any]:
    """What tells one run from another."""
    return {"stage": stage, "base": base, "corpus": str(corpus.resolve()), **more, **asdict(plan)}


def check_vocabulary(student: Base, teacher: Base) -> None:
    """Soft targets are probabilities by token number: with another numbering they would teach other tokens.

    Raises:
        ModelError: The vocabularies differ, or the logits' widths.
    """
    same = student.tokenizer.get_vocab() == teacher.tokenizer.get_vocab()
    widths = [unembedding(each.model).get_parameter("weight").shape[0] for each in (student, teacher)]
    if not same or len(set(widths)) > 1:
        raise ModelError(
            f"the teacher {teacher.name} has another vocabulary than {student.name}: its logits are of other tokens"
        )


def attach_heads(model: PreTrainedModel, plan: DistillationPlan) -> nn.ModuleList:
    """Leave only the top layers and the final norm to be trained, and put heads on the model, with its checkpoints.

    Raises:
        ModelError: The model has not that many layers, or they are not where Llama and Qwen have them.
    """
    try:
        layers = list(model.base_model.get_submodule("layers").children())
        norm = model.base_model.get_submodule("norm")
    except AttributeError as error:
        raise ModelError(
            f"the model is built otherwise than Llama and Qwen, so its top layers are unknown: {error}"
        ) from error
    if plan.train_layers > len(layers):
        raise ModelError(f"the model has {len(layers)} layers, so {plan.train_layers} cannot be trained")
    model.requires_grad_(requires_grad=False)
    for part in (*layers[-plan.train_layers :], norm):
        part.requires_grad_(requires_grad=True)
    heads = new_heads(plan.heads, hidden=model.config.hidden_size, inner=model.config.intermediate_size)
    model.add_module("mtp_heads", heads)
    return heads


def trainable_parameters(model: nn.Module) -> int:
    return sum(each.numel() for each in model.parameters() if each.requires_grad)


def _save(student: Base, folder: RunFolder) -> Path:
    """An ordinary checkpoint, in bfloat16 as a merged one."""
    target = folder.path / STUDENT
    student.model.bfloat16().save_pretrained(str(target))
    student.tokenizer.save_pretrained(str(target))
    return target


def _figures(folder: RunFolder) -> dict[str, Any]:
    read: dict[str, Any] = orjson.loads((folder.path / RUN).read_bytes())
    return read


def _trained(read: dict[str, Any]) -> Trained:
    return Trained(
        held_out=HeldOut(**read["held_out"]),
        trainable_parameters=read["trainable_parameters"],
        seconds=read["seconds"],
    )
