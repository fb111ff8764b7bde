"""`kat train`: the data that a model learns to judge from, and how well one judges."""

from __future__ import annotations

import click

from kat_training.cli_data import data
from kat_training.cli_eval import evaluate_model
from kat_training.cli_model import cold_start_model, merge_model


@click.group(short_help="Make the data that a model learns to judge from, and see how well one judges.")
def train() -> None:
    """Make the data that a model learns to judge from, and see how well one judges."""


train.add_command(data)
train.add_command(evaluate_model)
train.add_command(cold_start_model)
train.add_command(merge_model)
