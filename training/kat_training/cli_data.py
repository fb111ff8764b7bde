"""`kat train data`: make a corpus, have a teacher answer questions for it, check one."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Final

import click
import httpx
from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress

from kat_training.card import data_card
from kat_training.chat_endpoint import ChatEndpoint, Endpoint
from kat_training.cli_errors import clear_errors
from kat_training.cli_options import ABOVE_ZERO, COUNT, FILE_THERE, FOLDER, FOLDER_THERE, SHARE
from kat_training.code_tests import passes
from kat_training.corpus import HARD_SHARE, ON_SHARE, CorpusPlan, extended, make_corpus
from kat_training.duplicates import Seen
from kat_training.errors import CorpusError
from kat_training.journal import Journal, open_journal, read_journal
from kat_training.quality import Fault, fault
from kat_training.store import SPLITS, read_split, sample_of, write_corpus
from kat_training.teacher import Question
from kat_training.teacher_run import TeacherPlan, TeacherRun

_FOUND_FAULTS: Final = 1
_PLAN: Final = CorpusPlan()
_TEACHER: Final = TeacherPlan()


@click.group()
def data() -> None:
    """Corpora: questions with answers that can be checked, each in the mode that is due."""


@data.command()
@click.option(
    "--out", type=FOLDER, required=True, help="The corpus's folder: train.parquet, held_out.parquet, README.md."
)
@click.option(
    "--train", type=click.IntRange(min=0), default=_PLAN.train, show_default=True, help="Samples to learn from."
)
@click.option(
    "--held-out", type=click.IntRange(min=0), default=_PLAN.held_out, show_default=True, help="To measure by."
)
@click.option("--seed", type=int, default=_PLAN.seed, show_default=True, help="The same one makes the same bytes.")
@click.option("--on-share", type=SHARE, default=ON_SHARE, show_default=True, help="Samples that think.")
@click.option("--hard-share", type=click.FloatRange(HARD_SHARE, 1), default=_PLAN.hard_share, show_default=True)
@click.option("--chinese-share", type=SHARE, default=_PLAN.chinese_share, show_default=True)
@click.option("--instruction-share", type=SHARE, default=_PLAN.instruction_share, show_default=True)
@click.option("--dialogue-share", type=SHARE, default=_PLAN.dialogue_share, show_default=True)
@click.option("--teacher-journal", type=FILE_THERE, help="Add what `kat train data teach` kept in this file.")
@clear_errors
def make(*, out: Path, teacher_journal: Path | None, **shares: float) -> None:
    """Make a corpus from the templates: English and Chinese, think-off and think-on."""
    plan = CorpusPlan(**shares)  # type: ignore[arg-type] # click has checked them, options are named as the plan's fields
    corpus = make_corpus(plan)
    origin = f"Made by `kat train data make` from templates, as {plan}."
    drops: Counter[str] = Counter({str(name): count for name, count in corpus.drops.items()})
    costs: dict[str, int] = {}
    if teacher_journal is not None:
        entries, spent = read_journal(teacher_journal)
        taught = [sample_of(entry.sample, teacher_journal) for entry in entries if entry.sample is not None]
        corpus = extended(corpus, taught)
        drops = Counter({str(name): count for name, count in corpus.drops.items()})
        drops.update(f"teacher: {entry.dropped}" for entry in entries if entry.dropped is not None)
        costs = spent.model_dump()
        origin += f" {len(taught)} of the samples are a teacher's."
    write_corpus(out, corpus.samples, data_card(corpus.samples, origin=origin, drops=drops, costs=costs))
    click.echo(f"{len(corpus.samples)} samples in {out}; dropped: {_counted(drops)}")


@data.command()
@click.option(
    "--questions",
    type=FILE_THERE,
    required=True,
    help='JSON Lines: {"question": "…", "reference": "…", "check": "number"}.',
)
@click.option("--url", required=True, help="The teacher: an OpenAI-compatible API, such as https://…/v1.")
@click.option("--model", required=True, help="Its model's name.")
@click.option("--key", envvar="KAT_TEACHER_KEY", show_envvar=True, help="Its API key; of a predictor, a tenant's.")
@click.option(
    "--metered/--not-metered",
    default=False,
    show_default=True,
    help="The teacher is a predictor of ours: label its usage `training: teacher`.",
)
@click.option(
    "--journal",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Where results go; an interrupted run goes on from it.",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 10),
    default=_TEACHER.threshold,
    show_default=True,
    help="Score that the critic must give.",
)
@click.option(
    "--rounds",
    type=COUNT,
    default=_TEACHER.rounds,
    show_default=True,
    help="Times the thinker may try.",
)
@click.option("--max-tokens", type=COUNT, default=_TEACHER.max_tokens, show_default=True, help="Of each reply.")
@click.option(
    "--timeout",
    type=ABOVE_ZERO,
    default=120.0,
    show_default=True,
    help="Seconds for each reply.",
)
@click.option("--at-once", type=click.IntRange(1, 100), default=4, show_default=True, help="Questions in flight.")
@clear_errors
def teach(
    *, questions: Path, url: str, model: str, key: str | None, metered: bool, journal: Path, threshold: float,
    rounds: int, max_tokens: int, timeout: float, at_once: int,
) -> None:  # fmt: skip
    """Have a teacher answer questions: a solver, a thinker and a critic. `make --teacher-journal` takes the result."""
    asked = read_questions(questions)
    plan = TeacherPlan(threshold=threshold, rounds=rounds, max_tokens=max_tokens)
    endpoint = Endpoint(url, model, key, {"training": "teacher"} if metered else None)
    run = f"{model} at {url}, threshold {threshold:g}, {rounds} rounds, {max_tokens} tokens"
    with open_journal(journal, run) as opened:
        asyncio.run(_teach(endpoint, opened, plan, asked, seconds=timeout, at_once=at_once))
        kept = sum(entry.sample is not None for entry in opened.entries)
        spent = opened.spent
        click.echo(f"{kept} of {len(opened.entries)} questions kept; dropped: {_counted(opened.drops)}")
        click.echo(
            f"{spent.calls} calls, {spent.prompt_tokens} prompt tokens, {spent.completion_tokens} completion tokens"
        )


@data.command()
@click.argument("folder", type=FOLDER_THERE)
@clear_errors
def check(*, folder: Path) -> None:
    """Check a corpus: tags, answers against their checkers, code against its tests, duplicates, the split.

    Exit code 0 if every sample is fit, 1 if one is not, 2 if the corpus cannot be read.
    """
    faults: Counter[str] = Counter()
    seen, splits = Seen(), {split: read_split(folder, split) for split in SPLITS}
    for sample in (sample for samples in splits.values() for sample in samples):
        found = Fault.DUPLICATE if seen.has(sample) else fault(sample, passes)
        seen.add(sample)
        if found is not None:
            faults[found] += 1
    shared = {each.template for each in splits["train"]} & {each.template for each in splits["held_out"]}
    faults += Counter({"template_in_both_splits": len(shared)})
    click.echo(f"{sum(map(len, splits.values()))} samples; faults: {_counted(faults)}")
    if faults:
        raise SystemExit(_FOUND_FAULTS)


def read_questions(file: Path) -> list[Question]:
    """The questions of a file.

    Raises:
        CorpusError: A line is no question; it is named.
    """
    questions = []
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        if line.strip():
            try:
                questions.append(Question.model_validate_json(line))
            except ValidationError as error:
                raise CorpusError(f"{file}, line {number}: {error.errors()[0]['msg']}") from error
    return questions


async def _teach(
    endpoint: Endpoint, journal: Journal, plan: TeacherPlan, questions: list[Question], *, seconds: float, at_once: int
) -> None:  # fmt: skip
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("teaching", total=sum(not journal.has(question.id) for question in questions))
        async with httpx.AsyncClient(timeout=seconds) as client:
            run = TeacherRun(
                ChatEndpoint(endpoint, client), journal, plan,
                run_tests=passes, progress=lambda: progress.advance(task),
            )  # fmt: skip
            await run.run(questions, at_once=at_once)


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"
