"""`kat train labels`: the modes of a corpus by majority vote of a model's own answers."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from kat.home import kat_home
from kat.logs import configure_logs
from kat.usage_event import Mode
from kat_training.card import data_card
from kat_training.cli_errors import clear_errors
from kat_training.cli_options import ABOVE_ZERO, COUNT, FOLDER, FOLDER_THERE, MODELS_DIR, SHARE
from kat_training.code_tests import passes
from kat_training.labels import MARGIN, relabel_all, vote
from kat_training.run_folder import RunFolder
from kat_training.sample import Sample
from kat_training.store import read_split, write_corpus
from kat_training.vote_run import Ballot, ballots


@click.command(name="labels")
@click.option("--corpus", type=FOLDER_THERE, required=True, help="A folder of `kat train data make`.")
@click.option("--out", type=FOLDER, required=True, help="The labelled corpus; a run that was begun there goes on.")
@click.option("--model", required=True, help="Who answers: a cold start's merged folder, or any other model.")
@MODELS_DIR
@click.option("--trials", type=COUNT, default=4, show_default=True, help="Answers in each mode.")
@click.option("--margin", type=SHARE, default=MARGIN, show_default=True, help="What thinking has to gain.")
@click.option("--temperature", type=ABOVE_ZERO, default=0.8, show_default=True, help="Of the answers.")
@click.option("--limit", type=COUNT, help="Vote on the first questions only; the others stay as they are.")
@click.option("--max-tokens", type=COUNT, default=192, show_default=True, help="Of an answer.")
@click.option("--at-once", type=click.IntRange(1, 256), default=16, show_default=True, help="Answers in flight.")
@click.option("--seed", type=int, default=0, show_default=True)
@clear_errors
def label_corpus(
    *, corpus: Path, out: Path, model: str, models_dir: Path | None, trials: int, margin: float, temperature: float,
    limit: int | None, max_tokens: int, at_once: int, seed: int,
) -> None:  # fmt: skip
    """Sample answers to every question in both modes; thinking is due where it makes them right often enough.

    Questions with an instruction keep their mode. Code in answers is run, with little time and memory.
    """
    samples, held_out = read_split(corpus, "train"), read_split(corpus, "held_out")
    open_to_vote = [each for each in samples if each.mode_from != "instruction"][:limit]
    folder = RunFolder(out, {
        "stage": "labels", "corpus": str(corpus.resolve()), "model": model, "trials": trials, "limit": limit,
        "temperature": temperature, "max_tokens": max_tokens, "seed": seed,
    })  # fmt: skip
    found = asyncio.run(
        _asked(
            open_to_vote, folder.path / "votes", model, models_dir or kat_home() / "models",
            trials=trials, temperature=temperature, max_tokens=max_tokens, at_once=at_once, seed=seed,
        )
    )  # fmt: skip
    labels = {name: vote(ballot[Mode.ON], ballot[Mode.OFF], margin=margin) for name, ballot in found.items()}
    labelled, counts = relabel_all(samples, labels)
    origin = f"{corpus.name}, its modes by a vote of {trials} answers of {model} in each mode, margin {margin:g}."
    everything = [*labelled, *held_out]
    write_corpus(out, everything, data_card(everything, origin=origin, drops={}))
    click.echo(", ".join(f"{count} {outcome}" for outcome, count in counts.most_common()))


async def _asked(
    samples: list[Sample], folder: Path, model: str, models_dir: Path,
    *, trials: int, temperature: float, max_tokens: int, at_once: int, seed: int,
) -> dict[str, Ballot]:  # fmt: skip
    # Takes seconds to import.
    from kat_training.subject_engine import loaded_subject  # noqa: PLC0415

    configure_logs()  # standard output is for the result
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("answers", total=2 * trials * len(samples))
        async with loaded_subject(
            model, models_dir, max_tokens=max_tokens, at_once=at_once, temperature=temperature, seed=seed,
            progress=partial(click.echo, err=True),
        ) as subject:  # fmt: skip
            return await ballots(
                subject, samples, folder,
                trials=trials, run_tests=passes, at_once=at_once, progress=partial(progress.advance, task),
            )  # fmt: skip
