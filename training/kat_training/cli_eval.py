"""`kat train eval`: how well a model judges and answers, on templates that no training saw."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import IO, Final

import click
import httpx
import orjson
from rich.console import Console
from rich.progress import Progress

from kat.home import kat_home
from kat.logs import configure_logs
from kat.usage_event import ModeAsked
from kat_training.chat_endpoint import ChatEndpoint, Endpoint
from kat_training.cli_errors import clear_errors
from kat_training.cli_options import COUNT, FOLDER_THERE, MODELS_DIR
from kat_training.code_tests import passes
from kat_training.corpus import CorpusPlan, make_corpus
from kat_training.errors import SubjectError
from kat_training.evaluate import Subject, evaluate
from kat_training.report import as_json, as_lines, as_table
from kat_training.sample import Sample, Split
from kat_training.scores import Scored, Scores, scores
from kat_training.store import SPLITS, read_split
from kat_training.subject_endpoint import EndpointSubject

_ANSWER_TIMEOUT: Final = httpx.Timeout(600, connect=10)
_FORCED: Final = (ModeAsked.ON, ModeAsked.OFF)


@click.command(name="eval")
@click.option(
    "--corpus",
    type=FOLDER_THERE,
    help="A corpus's folder. [default: the held-out questions of seed 0]",
)
@click.option("--split", type=click.Choice(SPLITS), default="held_out", show_default=True)
@click.option("--url", help="Ask a serving API, such as http://localhost:8080/v1.")
@click.option(
    "--model",
    required=True,
    help="With --url the served name; else `default`, `smollm2-135m-instruct` (the same before it was taught), a model's "
    "folder or a name on the Hub.",
)
@click.option(
    "--against",
    metavar="MODEL",
    help="Another one, such as what it was taught from: always and never thinking, beside it.",
)
@click.option("--key", envvar="KAT_API_KEY", show_envvar=True, help="The serving API's key.")
@MODELS_DIR
@click.option(
    "--mode",
    "modes",
    type=click.Choice([mode.value for mode in ModeAsked]),
    multiple=True,
    default=["auto"],
    show_default=True,
    help="Let the model judge, or force it; repeat for runs side by side.",
)
@click.option("--limit", type=COUNT, help="Ask the first questions only.")
@click.option("--max-tokens", type=COUNT, default=192, show_default=True, help="Of a completion.")
@click.option("--at-once", type=click.IntRange(1, 256), default=8, show_default=True, help="Questions in flight.")
@click.option("--answers", type=click.File("wb"), help="A file for every answer, a line of JSON each.")
@click.option("--json", "as_machine_reads", is_flag=True, help="JSON instead of a table.")
@clear_errors
def evaluate_model(
    *, corpus: Path | None, split: Split, url: str | None, model: str, against: str | None, key: str | None,
    models_dir: Path | None, modes: tuple[str, ...], limit: int | None, max_tokens: int, at_once: int,
    answers: IO[bytes] | None, as_machine_reads: bool,
) -> None:  # fmt: skip
    """Ask a model the questions of a split, greedily: mode accuracy, answer accuracy, think-on share, tokens.

    Code in answers is run, with little time and memory: evaluate a model that you do not trust in a container.
    """
    samples = (read_split(corpus, split) if corpus is not None else list(make_corpus(CorpusPlan(train=0)).samples))[
        :limit
    ]
    if not samples:
        raise SubjectError("there are no questions to ask")

    def run_of(name: str, asked: Sequence[ModeAsked]) -> dict[ModeAsked, list[Scored]]:
        opened = (
            _engine(name, models_dir, max_tokens=max_tokens, at_once=at_once)
            if url is None
            else _endpoint(Endpoint(url, name, key), max_tokens=max_tokens)
        )
        return asyncio.run(_evaluate(opened, samples, asked, at_once=at_once))

    answered = run_of(model, [ModeAsked(mode) for mode in modes])
    if answers is not None:
        answers.writelines(as_lines(mode, scored) for mode, scored in answered.items())
    other = None if against is None else (against, _figures(run_of(against, _FORCED)))
    if as_machine_reads:
        click.echo(orjson.dumps(as_json(model, _figures(answered), other), option=orjson.OPT_INDENT_2))
    else:
        Console().print(as_table(model, _figures(answered), other))


def _figures(answered: dict[ModeAsked, list[Scored]]) -> dict[ModeAsked, Scores]:
    return {asked: scores(scored, asked=asked) for asked, scored in answered.items()}


async def _evaluate(
    opened: AbstractAsyncContextManager[Subject], samples: list[Sample], asked: Sequence[ModeAsked], *, at_once: int
) -> dict[ModeAsked, list[Scored]]:  # fmt: skip
    answered: dict[ModeAsked, list[Scored]] = {}
    with Progress(console=Console(stderr=True)) as progress:
        async with opened as subject:
            for mode in asked:
                task = progress.add_task(f"mode {mode}", total=len(samples))
                answered[mode] = await evaluate(
                    subject, samples, mode, run_tests=passes, at_once=at_once,
                    progress=partial(progress.advance, task),
                )  # fmt: skip
    return answered


@asynccontextmanager
async def _endpoint(endpoint: Endpoint, *, max_tokens: int) -> AsyncIterator[Subject]:
    async with httpx.AsyncClient(timeout=_ANSWER_TIMEOUT, limits=httpx.Limits(max_connections=None)) as client:
        yield EndpointSubject(ChatEndpoint(endpoint, client), max_tokens=max_tokens)


@asynccontextmanager
async def _engine(model: str, models_dir: Path | None, *, max_tokens: int, at_once: int) -> AsyncIterator[Subject]:
    # Takes seconds to import, and an evaluation over the serving API needs none of it.
    from kat_training.subject_engine import loaded_subject  # noqa: PLC0415

    configure_logs()  # standard output is for the figures
    async with loaded_subject(
        model, models_dir or kat_home() / "models", max_tokens=max_tokens, at_once=at_once,
        progress=lambda words: click.echo(words, err=True),
    ) as subject:  # fmt: skip
        yield subject
