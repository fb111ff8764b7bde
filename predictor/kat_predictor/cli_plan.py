"""`kat plan`: how many GPUs a model needs, and what fits on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import orjson

from kat_predictor.plan import fit
from kat_predictor.plan.errors import CannotPlan
from kat_predictor.plan.fit import Question, Verdict, make_plan
from kat_predictor.plan.gpus import Gpu, find_gpu, known_gpus
from kat_predictor.plan.models import Model, find_model
from kat_predictor.plan.precision import KvPrecision, WeightPrecision
from kat_predictor.plan.recipes import read_recipe
from kat_predictor.plan.report import as_json, as_table

_DOES_NOT_FIT = 1


class _Refused(click.ClickException):
    exit_code = CannotPlan.exit_code


@click.command(short_help="Reckon whether a model fits on GPUs, from its config.json alone.")
@click.option("--model", metavar="NAME|FOLDER|FILE", help="kat-v1-40b, a model's folder, or a config.json.")
@click.option(
    "--settings",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A settings file of the predictor, instead of --model; options given beside it win.",
)
@click.option("--gpu", required=True, metavar="GPU", help=f"{', '.join(known_gpus())}, or any other as NAME:GiB.")
@click.option("--gpus", type=click.IntRange(min=1), help="Number of GPUs, for tensor parallel. [default: 1]")
@click.option("--context", type=click.IntRange(min=1), help="Tokens of a sequence. [default: the longest allowed]")
@click.option("--concurrency", type=click.IntRange(min=1), help="Sequences of that length at once. [default: 1]")
@click.option(
    "--dtype",
    type=click.Choice([p.value for p in WeightPrecision]),
    help="Precision of the weights. [default: as stored]",
)
@click.option(
    "--kv-dtype", type=click.Choice([p.value for p in KvPrecision]), help="Precision of the KV cache. [default: bf16]"
)
@click.option(
    "--gpu-memory-utilization",
    type=click.FloatRange(min=0, max=1, min_open=True),
    help=f"As for vLLM. [default: {fit.GPU_MEMORY_UTILIZATION}]",
)
@click.option("--max-num-seqs", type=click.IntRange(min=1), help=f"As for vLLM. [default: {fit.MAX_NUM_SEQS}]")
@click.option(
    "--max-num-batched-tokens",
    type=click.IntRange(min=1),
    help=f"As for vLLM. [default: {fit.MAX_NUM_BATCHED_TOKENS}]",
)
@click.option("--format", "output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def plan(
    *,
    model: str | None,
    settings: Path | None,
    gpu: str,
    dtype: str | None,
    kv_dtype: str | None,
    output: str,
    **numbers: Any,
) -> None:
    """Reckon what fits: weights, KV cache of a token, sequences at once. Needs no GPU, no weights and no network.

    Exit code 0 if it fits, 1 if it does not, 2 if it cannot be reckoned.
    """
    given = {name: value for name, value in numbers.items() if value is not None}
    weights = WeightPrecision(dtype) if dtype else None
    try:
        if settings is not None and model is None:
            question = read_recipe(settings, find_gpu(gpu))
            if weights is not None:
                question = replace(question, weights=weights)
        elif model is not None and settings is None:
            question = _question(find_model(model), find_gpu(gpu), weights)
            if "context" in given:
                given["max_model_len"] = given["context"]
        else:
            raise click.UsageError("name either --model or --settings")
        if kv_dtype is not None:
            question = replace(question, kv=KvPrecision(kv_dtype))
        answer = make_plan(replace(question, **given))
    except CannotPlan as refusal:
        raise _Refused(str(refusal)) from refusal
    click.echo(as_table(answer) if output == "table" else orjson.dumps(as_json(answer), option=orjson.OPT_INDENT_2))
    if answer.verdict is not Verdict.FITS:
        raise SystemExit(_DOES_NOT_FIT)


def _question(model: Model, gpu: Gpu, weights: WeightPrecision | None) -> Question:
    return Question(
        model=model.name,
        config=model.config,
        weights=weights or model.weights,
        gpu=gpu,
        gpus=1,
        context=model.config.context,
        concurrency=1,
        max_model_len=model.config.context,
    )
