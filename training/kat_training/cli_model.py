"""`kat train cold-start` and `kat train merge`: from a corpus to an adapter, from an adapter to a model that serves."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from kat.home import kat_home
from kat_training.cli_errors import clear_errors
from kat_training.cli_options import ABOVE_ZERO, BASE, COUNT, FOLDER, FOLDER_THERE, MODELS_DIR
from kat_training.cold_start_plan import ColdStartPlan
from kat_training.store import read_split

_PLAN: Final = ColdStartPlan()


@click.command(name="cold-start")
@click.option("--corpus", type=FOLDER_THERE, required=True, help="A folder of `kat train data make`.")
@click.option("--out", type=FOLDER, required=True, help="The run's folder; a run that was begun there goes on.")
@BASE
@MODELS_DIR
@click.option("--steps", type=COUNT, default=_PLAN.steps, show_default=True)
@click.option("--batch", type=COUNT, default=_PLAN.batch, show_default=True, help="Samples a step.")
@click.option("--rank", type=COUNT, default=_PLAN.rank, show_default=True, help="Of the adapters.")
@click.option("--learning-rate", type=ABOVE_ZERO, default=_PLAN.learning_rate, show_default=True)
@click.option("--max-length", type=COUNT, default=_PLAN.max_length, show_default=True, help="Longer ones are left out.")
@click.option("--save-every", type=COUNT, default=_PLAN.save_every, show_default=True, help="Steps.")
@click.option("--seed", type=int, default=_PLAN.seed, show_default=True)
@clear_errors
def cold_start_model(*, corpus: Path, out: Path, base: str, models_dir: Path | None, **asked: Any) -> None:
    """Fine-tune adapters on a corpus, so that a model writes the grammar and judges."""
    # Take seconds to import.
    import torch  # noqa: PLC0415

    from kat_training.base_model import load_base  # noqa: PLC0415
    from kat_training.cold_start import asked_for, cold_start  # noqa: PLC0415
    from kat_training.run_folder import RunFolder  # noqa: PLC0415

    plan = ColdStartPlan(**asked)
    samples = read_split(corpus, "train")
    folder = RunFolder(out, asked_for(base, corpus, plan))
    loaded = load_base(base, models_dir=models_dir or kat_home() / "models", dtype=torch.bfloat16)
    adapter = cold_start(loaded, samples, plan, folder, progress=partial(click.echo, err=True))
    click.echo(str(adapter))


@click.command(name="merge")
@click.option("--adapter", type=FOLDER_THERE, required=True, help="A run's folder `adapter`.")
@click.option("--out", type=FOLDER, required=True, help="The checkpoint's folder.")
@BASE
@MODELS_DIR
@clear_errors
def merge_model(*, adapter: Path, out: Path, base: str, models_dir: Path | None) -> None:
    """Add an adapter to its base: an ordinary checkpoint that the predictor serves, judge and all."""
    from kat_training.adapter import merge  # noqa: PLC0415
    from kat_training.base_model import load_base  # noqa: PLC0415

    loaded = load_base(base, models_dir=models_dir or kat_home() / "models")
    click.echo(str(merge(loaded, adapter, out)))
