"""`kat train distil`: a student from a teacher's logits, beside full fine-tuning where that is asked for."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from kat.home import kat_home
from kat_training.cli_errors import clear_errors
from kat_training.cli_options import ABOVE_ZERO, BASE, COUNT, FOLDER, FOLDER_THERE, MODELS_DIR, SHARE
from kat_training.distillation_plan import DistillationPlan, table
from kat_training.store import read_split

_PLAN: Final = DistillationPlan()


@click.command(name="distil")
@click.option("--corpus", type=FOLDER_THERE, required=True, help="A folder of `kat train data make`.")
@click.option(
    "--teacher", type=FOLDER_THERE, required=True, help="A checkpoint's folder, as `kat train merge` writes it."
)
@click.option("--out", type=FOLDER, required=True, help="The run's folder; a run that was begun there goes on.")
@BASE
@MODELS_DIR
@click.option("--heads", type=COUNT, default=_PLAN.heads, show_default=True, help="Tokens behind the next one.")
@click.option("--train-layers", type=COUNT, default=_PLAN.train_layers, show_default=True, help="From the top.")
@click.option("--steps", type=COUNT, default=_PLAN.steps, show_default=True)
@click.option("--batch", type=COUNT, default=_PLAN.batch, show_default=True, help="Samples a step.")
@click.option("--learning-rate", type=ABOVE_ZERO, default=_PLAN.learning_rate, show_default=True)
@click.option(
    "--temperature", type=ABOVE_ZERO, default=_PLAN.temperature, show_default=True, help="Of the soft targets."
)
@click.option("--soft-share", type=SHARE, default=_PLAN.soft_share, show_default=True, help="Of the soft targets.")
@click.option("--heads-share", type=SHARE, default=_PLAN.heads_share, show_default=True, help="Of the heads' loss.")
@click.option("--max-length", type=COUNT, default=_PLAN.max_length, show_default=True, help="Longer ones are left out.")
@click.option("--save-every", type=COUNT, default=_PLAN.save_every, show_default=True, help="Steps.")
@click.option("--seed", type=int, default=_PLAN.seed, show_default=True)
@click.option("--against-full", is_flag=True, help="Fine-tune all parameters on the same data, too, and compare.")
@click.option("--json", "as_json", is_flag=True)
@clear_errors
def distil_model(
    *,
    corpus: Path,
    teacher: Path,
    out: Path,
    base: str,
    models_dir: Path | None,
    against_full: bool,
    as_json: bool,
    **asked: Any,
) -> None:
    """Train heads and top layers on a teacher's logits, with several tokens predicted at a time."""
    # Take seconds to import.
    import torch  # noqa: PLC0415

    from kat_training.base_model import load_base  # noqa: PLC0415
    from kat_training.distillation import asked_for, compared, distil, fine_tune, tokenised  # noqa: PLC0415
    from kat_training.run_folder import RunFolder  # noqa: PLC0415

    plan = DistillationPlan(**asked)
    splits = read_split(corpus, "train"), read_split(corpus, "held_out")
    progress = partial(click.echo, err=True)
    fresh = partial(load_base, base, models_dir=models_dir or kat_home() / "models")
    asked_of = partial(asked_for, base=base, corpus=corpus, plan=plan)
    folder = RunFolder(out, asked_of("distillation", teacher=str(teacher.resolve())))
    full = RunFolder(out / "full", asked_of("full fine-tuning")) if against_full else None
    if not folder.finished:
        student = fresh()
        examples = tokenised(*splits, student, plan)
        teaching = load_base(str(teacher), models_dir=out, dtype=torch.bfloat16)
        distil(student, teaching, examples, plan, folder, progress=progress)
    if full is not None and not full.finished:
        student = fresh()
        fine_tune(student, tokenised(*splits, student, plan), plan, full, progress=progress)
    comparison = compared(folder, full)
    if as_json:
        click.echo(json.dumps({**asdict(comparison), "share_of_effect": comparison.share_of_effect}))
        return
    for name, distilled, against in table(comparison):
        click.echo(f"{name:<36}{distilled:>14}{against:>18}".rstrip())
