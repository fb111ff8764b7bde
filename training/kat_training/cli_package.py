"""`kat train package`: an adapter with its card, as the predictor's package holds it."""

from __future__ import annotations

from pathlib import Path

import click

from kat_training.cli_errors import clear_errors
from kat_training.cli_options import FILE_THERE, FOLDER, FOLDER_THERE


@click.command(name="package")
@click.option(
    "--run",
    "runs",
    type=FOLDER_THERE,
    multiple=True,
    required=True,
    help="A training run's folder; repeat in their order.",
)
@click.option(
    "--evaluation",
    type=FILE_THERE,
    required=True,
    help="What `kat train eval --json` printed of the last run's model.",
)
@click.option("--out", type=FOLDER, required=True, help="The folder; replaced.")
@clear_errors
def package_model(*, runs: tuple[Path, ...], evaluation: Path, out: Path) -> None:
    """Write the last run's adapter with its card and the options of all runs, as the default model's folder has them."""
    from kat_training.adapter_package import package_adapter  # noqa: PLC0415 - imports torch

    click.echo(str(package_adapter(runs, evaluation, out)))
