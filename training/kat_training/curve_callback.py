"""What a trainer of transformers logs, as a run's curve. Apart from `curve`, for the trainer takes seconds to import."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from kat_training.curve import write_curve


class CurveCallback(TrainerCallback):
    """Writes the curve whenever something is logged, and says how far the run is.

    Args:
        folder: The run's.
        figures: What is kept of what the trainer logs; what has none of the first is no point.
        progress: Takes a line for each point.
        told: The figures in it.
    """

    def __init__(
        self, folder: Path, figures: Sequence[str], progress: Callable[[str], None], *, told: Sequence[str] = ("loss",)
    ) -> None:
        self._folder = folder
        self._figures = ("step", *figures)
        self._progress = progress
        self._told = told

    def on_log(
        self,
        args: TrainingArguments,  # noqa: ARG002 - the trainer's own signature
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        points = [
            {str(name): entry[name] for name in self._figures if name in entry}
            for entry in state.log_history
            if self._figures[1] in entry
        ]
        write_curve(self._folder, points)
        if points:
            figures = ", ".join(f"{name.replace('_', ' ')} {points[-1][name]:.4g}" for name in self._told)
            self._progress(f"step {state.global_step} of {state.max_steps}: {figures}")
