"""What every stage asks of its trainer, and how a run is gone on with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from transformers import PrinterCallback, Trainer

from kat_training.run_folder import RunFolder


class Schedule(Protocol):
    """What the plans of all stages have."""

    @property
    def steps(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def warmup(self) -> float: ...
    @property
    def save_every(self) -> int: ...
    @property
    def seed(self) -> int: ...


def shared_settings(plan: Schedule, folder: RunFolder) -> dict[str, Any]:
    """Arguments of `TrainingArguments` and of TRL's classes on top of it.

    Batches are drawn at random. Grouped by length they would come long ones first, and the last that a model saw would all
    be short answers without a thought.
    """
    return {
        "output_dir": str(folder.checkpoints),
        "max_steps": plan.steps,
        "learning_rate": plan.learning_rate,
        "warmup_steps": round(plan.warmup * plan.steps),
        "use_cpu": not torch.cuda.is_available(),
        "save_steps": plan.save_every,
        "save_total_limit": 2,
        "seed": plan.seed,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }


def go_on(trainer: Trainer, folder: RunFolder, progress: Callable[[str], None]) -> None:
    """Train, from the run's last whole checkpoint if it has one."""
    trainer.remove_callback(PrinterCallback)
    checkpoint = folder.last_checkpoint()
    if checkpoint is not None:
        progress(f"going on from {checkpoint.name}")
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
