"""The training loop of distillation and of the fine-tuning beside it: the same steps, seed and batches for both."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import torch
from datasets import Dataset
from torch import Tensor, nn
from transformers import PreTrainedModel, PrinterCallback, Trainer, TrainingArguments

from kat_training.curve import plot
from kat_training.curve_callback import CurveCallback
from kat_training.distillation_objective import Batch, Objective, collate
from kat_training.distillation_plan import DistillationPlan
from kat_training.run_folder import RunFolder

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
    trainer = _Trainer(
        model=model,
        args=_arguments(plan, folder),
        train_dataset=examples,
        data_collator=collate,
        callbacks=[CurveCallback(folder.path, _LOGGED, lambda words: progress(f"{title}: {words}"))],
    )
    trainer.objective = objective
    trainer.remove_callback(PrinterCallback)
    checkpoint = folder.last_checkpoint()
    if checkpoint is not None:
        progress(f"{title}: going on from {checkpoint.name}")
    began = time.monotonic()
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
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
        output_dir=str(folder.checkpoints),
        max_steps=plan.steps,
        per_device_train_batch_size=plan.batch,
        learning_rate=plan.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(plan.warmup * plan.steps),
        use_cpu=not torch.cuda.is_available(),
        # Batches of like lengths: half of what is computed would otherwise be padding.
        train_sampling_strategy="group_by_length",
        logging_steps=10,
        save_steps=plan.save_every,
        save_total_limit=2,
        seed=plan.seed,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
