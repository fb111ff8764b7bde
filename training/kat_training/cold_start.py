"""The cold start: supervised fine-tuning of adapters on a corpus, so that the model writes the grammar and judges."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

from peft import get_peft_model
from torch import Tensor, nn
from transformers import set_seed
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from kat_training.adapter import save_adapter
from kat_training.base_model import Base, lora_config
from kat_training.batches import Batch, packed
from kat_training.cold_start_plan import ColdStartPlan
from kat_training.curve import plot
from kat_training.curve_callback import CurveCallback
from kat_training.examples import dataset
from kat_training.objective import label_objective
from kat_training.run_folder import RunFolder
from kat_training.sample import Sample
from kat_training.training_settings import go_on, shared_settings

ADAPTER: Final = "adapter"
_LOGGED: Final = ("loss", "grad_norm", "learning_rate", "epoch")


def cold_start(
    base: Base, samples: list[Sample], plan: ColdStartPlan, folder: RunFolder, *, progress: Callable[[str], None]
) -> Path:
    """Train, or go on with what was begun in the folder; returns the adapter's folder.

    Raises:
        CorpusError: No sample fits.
        RunError: The folder cannot be written.
    """
    target = folder.path / ADAPTER
    if folder.finished:
        progress(f"{folder.path} holds this run, finished")
        return target
    began = time.monotonic()
    examples, too_long = dataset(samples, base.tokenizer, max_length=plan.max_length)
    progress(f"{len(examples)} samples to learn; {too_long} longer than {plan.max_length} tokens left out")
    with folder.writing():
        # Before the adapters, whose first values are drawn.
        set_seed(plan.seed)
        model = get_peft_model(base.model, lora_config(plan.rank))
        trainer = _Trainer(
            model=model,
            args=_arguments(plan, folder),
            train_dataset=examples,
            data_collator=partial(packed, capacity=plan.max_length),
            processing_class=base.tokenizer,
            callbacks=[CurveCallback(folder.path, _LOGGED, progress)],
        )
        go_on(trainer, folder, progress)
        save_adapter(model, target)
        plot(folder.path, ["loss"], title="Cold start")
        folder.finish(seconds=time.monotonic() - began, samples=len(examples), too_long=too_long)
    return target


def asked_for(base: str, corpus: Path, plan: ColdStartPlan) -> dict[str, Any]:
    """What tells one run from another."""
    return {"stage": "cold start", "base": base, "corpus": str(corpus.resolve()), **asdict(plan)}


def _arguments(plan: ColdStartPlan, folder: RunFolder) -> SFTConfig:
    return SFTConfig(
        **shared_settings(plan, folder),
        per_device_train_batch_size=plan.batch,
        lr_scheduler_type="cosine",
        max_length=None,
        bf16=True,
        gradient_checkpointing=False,
        logging_steps=10,
    )


class _Trainer(SFTTrainer):
    def compute_loss(
        self,
        model: nn.Module,
        inputs: Batch,
        return_outputs: bool = False,  # noqa: ARG002, FBT001, FBT002 - the trainer's own signature
        num_items_in_batch: Tensor | int | None = None,  # noqa: ARG002
    ) -> Tensor:
        """TRL's own loss goes over the vocabulary in tiles made for a Triton kernel: slow without a GPU."""
        return label_objective(self.accelerator.unwrap_model(model).get_base_model(), inputs)
