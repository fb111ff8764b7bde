"""`kat train rl`: from a cold start's adapter to one that reinforcement learning went on with."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from kat.home import kat_home
from kat_training.cli_errors import clear_errors
from kat_training.cli_options import ABOVE_ZERO, COUNT, FOLDER, FOLDER_THERE, MODELS_DIR
from kat_training.code_tests import passes
from kat_training.step_srpo_plan import RlPlan, base_of
from kat_training.store import read_split

_PLAN: Final = RlPlan()


@click.command(name="rl")
@click.option("--corpus", type=FOLDER_THERE, required=True, help="A folder of `kat train data make`.")
@click.option("--cold-start", type=FOLDER_THERE, required=True, help="A folder of `kat train cold-start`.")
@click.option("--out", type=FOLDER, required=True, help="The run's folder; a run that was begun there goes on.")
@MODELS_DIR
@click.option("--steps", type=COUNT, default=_PLAN.steps, show_default=True)
@click.option("--prompts", type=COUNT, default=_PLAN.prompts, show_default=True, help="Questions a step.")
@click.option(
    "--group", type=click.IntRange(min=2), default=_PLAN.group, show_default=True, help="Completions of each question."
)
@click.option("--learning-rate", type=ABOVE_ZERO, default=_PLAN.learning_rate, show_default=True)
@click.option("--temperature", type=ABOVE_ZERO, default=_PLAN.temperature, show_default=True, help="Of the sampling.")
@click.option("--max-prompt", type=COUNT, default=_PLAN.max_prompt, show_default=True, help="Longer ones are left out.")
@click.option("--max-completion", type=COUNT, default=_PLAN.max_completion, show_default=True, help="Tokens.")
@click.option(
    "--beta",
    type=click.FloatRange(min=0),
    default=_PLAN.beta,
    show_default=True,
    help="Weight of the distance from the cold start.",
)
@click.option(
    "--needless", type=float, default=_PLAN.needless, show_default=True, help="Factor where no thought was due."
)
@click.option("--token-cost", type=float, default=_PLAN.token_cost, show_default=True, help="Of a long turn.")
@click.option("--token-scale", type=COUNT, default=_PLAN.token_scale, show_default=True, help="Tokens of a long turn.")
@click.option("--save-every", type=COUNT, default=_PLAN.save_every, show_default=True, help="Steps.")
@click.option("--seed", type=int, default=_PLAN.seed, show_default=True)
@clear_errors
def rl_model(*, corpus: Path, cold_start: Path, out: Path, models_dir: Path | None, **asked: Any) -> None:
    """Go on from a cold start by Step-SRPO: sampled turns, rewarded for their mode and for their answer.

    Code in answers is run, with little time and memory: train a model that you do not trust in a container.
    """
    try:
        plan = RlPlan(**asked)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    base = base_of(cold_start)
    samples = read_split(corpus, "train")
    # Take seconds to import.
    import torch  # noqa: PLC0415

    from kat_training.base_model import load_base  # noqa: PLC0415
    from kat_training.run_folder import RunFolder  # noqa: PLC0415
    from kat_training.step_srpo import ADAPTER, asked_for, step_srpo  # noqa: PLC0415

    folder = RunFolder(out, asked_for(base, cold_start, corpus, plan))
    loaded = load_base(base, models_dir=models_dir or kat_home() / "models", dtype=torch.bfloat16)
    adapter = step_srpo(
        loaded, cold_start / ADAPTER, samples, plan, folder, run_tests=passes, progress=partial(click.echo, err=True)
    )
    click.echo(str(adapter))
