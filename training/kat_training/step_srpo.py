"""Step-SRPO: reinforcement learning that goes on from a cold start's adapter. Source: arXiv 2507.08297."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from kat_training.adapter import load_adapter, save_adapter
from kat_training.base_model import Base, end_of_turn
from kat_training.checks import RunTests
from kat_training.curve import plot
from kat_training.curve_callback import CurveCallback
from kat_training.errors import CorpusError
from kat_training.judging_template import prompt_ids
from kat_training.run_folder import RunFolder
from kat_training.sample import Sample
from kat_training.step_srpo_plan import RlPlan
from kat_training.step_srpo_trainer import LOGGED, StepSrpoTrainer
from kat_training.training_settings import go_on

ADAPTER: Final = "adapter"
_REFERENCE: Final = "ref"
"""The name under which TRL keeps the adapter that it started from."""
_TOLD: Final = ("judge_reward", "answer_reward", "tokens")
_DRAWN: Final = ("judge_reward", "answer_reward", "think_on_share", "well_formed_share")


def step_srpo(
    base: Base, adapter: Path, samples: Sequence[Sample], plan: RlPlan, folder: RunFolder,
    *, run_tests: RunTests, progress: Callable[[str], None],
) -> Path:  # fmt: skip
    """Train, or go on with what was begun in the folder; returns the adapter's folder.

    Args:
        base: Its model is changed.
        adapter: Where to go on from; of the same base.
        samples: Questions with known answers and modes.
        plan: How to train.
        folder: The run's.
        run_tests: Runs answers that are code.
        progress: Takes a line now and then.

    Raises:
        CorpusError: No question fits.
        ModelError: The adapter is missing, damaged or another model's.
        RunError: The folder cannot be written.
    """
    target = folder.path / ADAPTER
    if folder.finished:
        progress(f"{folder.path} holds this run, finished")
        return target
    began = time.monotonic()
    fitting = [each for each in samples if len(prompt_ids(base.tokenizer, each.messages)) <= plan.max_prompt]
    if len(fitting) < plan.prompts:
        raise CorpusError(
            f"{len(fitting)} of {len(samples)} questions fit into {plan.max_prompt} tokens; a step takes {plan.prompts}"
        )
    progress(f"{len(fitting)} questions; {len(samples) - len(fitting)} longer than {plan.max_prompt} tokens left out")
    # Some base models end with another token than the turns that they have learnt since.
    base.model.generation_config.eos_token_id = end_of_turn(base.tokenizer)
    model = load_adapter(base, adapter, trainable=True)
    with folder.writing():
        trainer = StepSrpoTrainer(
            model, base.tokenizer, fitting, plan,
            folder=folder, run_tests=run_tests, callbacks=[CurveCallback(folder.path, LOGGED, progress, told=_TOLD)],
        )  # fmt: skip
        go_on(trainer, folder, progress)
        if _REFERENCE in model.peft_config:
            model.delete_adapter(_REFERENCE)
        save_adapter(model, target)
        plot(folder.path, _DRAWN, title="Step-SRPO")
        folder.finish(seconds=time.monotonic() - began, questions=len(fitting))
    return target


def asked_for(base: str, cold_start: Path, corpus: Path, plan: RlPlan) -> dict[str, Any]:
    """What tells one run from another."""
    return {
        "stage": "step-srpo",
        "base": base,
        "cold_start": str(cold_start.resolve()),
        "corpus": str(corpus.resolve()),
        **asdict(plan),
    }
