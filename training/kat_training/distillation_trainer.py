"""The training loop of distillation and of the fine-tuning beside it: the same steps, seed and batches for both."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from datasets import Dataset
from torch import Tensor, nn
from transformers import PreTrainedModel, Trainer, TrainingArguments

from kat_training.batches import Batch, padded
from kat_training.curve import plot
from kat_training.curve_callback import CurveCallback
from kat_training.distillation_plan import DistillationPlan
from kat_training.objective import Objective
from kat_training.run_folder import RunFolder
from kat_training.training_settings import go_on, shared_settings

_LOGGED: Final = ("loss", "grad_norm", "learning_rate", "epoch")


def train(
    model: PreTrainedModel,
    objective: Objective,
    examples: Dataset,
    plan: DistillationPlan,
    folder: RunFolder,
    *,
    title: str,
    progress: Callable[[str], None],
) -> float:
    """Train what of the model takes gradients, or go on with what was begun in the folder; returns the seconds."""

    def told(words: str) -> None:
        progress(f"{title}: {words}")

    trainer = _Trainer(
        model=model,
        args=_arguments(plan, folder),
        train_dataset=examples,
        data_collator=padded,
        callbacks=[CurveCallback(folder.path, _LOGGED, told)],
    )
    trainer.objective = objective
    began = time.monotonic()
    go_on(trainer, folder, told)
    plot(folder.path, ["loss"], title=title)
    return time.monotonic() - began


class _Trainer(Trainer):
    objective: Objective

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Batch,
        return_outputs: bool = False,  # noqa: ARG002, FBT001, FBT002 - the trainer's own signature
        num_items_in_batch: Tensor | int | None = None,  # noqa: ARG002
    ) -> Tensor:
        return self.objective(self.accelerator.unwrap_model(model), inputs)


def _arguments(plan: DistillationPlan, folder: RunFolder) -> TrainingArguments:
    return TrainingArguments(
        **shared_settings(plan, folder),
        per_device_train_batch_size=plan.batch,
        lr_scheduler_type="cosine",
        logging_steps=10,
    )
