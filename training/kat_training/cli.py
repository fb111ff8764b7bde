"""`kat train`: the data that a model learns to judge from, and how well one judges."""

from __future__ import annotations

import os

import click

from kat_training.cli_data import data
from kat_training.cli_distil import distil_model
from kat_training.cli_eval import evaluate_model
from kat_training.cli_labels import label_corpus
from kat_training.cli_model import cold_start_model, merge_model
from kat_training.cli_package import package_model
from kat_training.cli_rl import rl_model


@click.group(short_help="Make the data that a model learns to judge from, teach one, and see how well it judges.")
def train() -> None:
    """Make the data that a model learns to judge from, teach one, and see how well it judges."""
    # TRL tells the Hub of every run, unless it is told not to before it is imported.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


train.add_command(data)
train.add_command(evaluate_model)
train.add_command(cold_start_model)
train.add_command(merge_model)
train.add_command(distil_model)
train.add_command(rl_model)
train.add_command(label_corpus)
train.add_command(package_model)
