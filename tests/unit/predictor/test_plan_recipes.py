"""The settings files of examples/settings fit the GPUs that they name, and their comments are the planner's words."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from dotenv import dotenv_values
from pydantic import SecretStr

from kat_predictor.cli_plan import plan
from kat_predictor.engines.vllm_arguments import read_engine_arguments
from kat_predictor.plan.errors import CannotPlan
from kat_predictor.plan.fit import Verdict, make_plan
from kat_predictor.plan.gpus import find_gpu
from kat_predictor.plan.precision import KvPrecision, WeightPrecision
from kat_predictor.plan.recipes import read_recipe
from kat_predictor.settings import Settings

ROOT = Path(__file__).parents[3]
RECIPES = sorted((ROOT / "examples" / "settings").glob("*.env"))
SIZING = ROOT / "docs" / "sizing.md"
DOCUMENTS = [*RECIPES, SIZING]


def test_there_is_a_recipe_for_each_way_to_serve_kat() -> None:
    assert {path.stem for path in RECIPES} == {
        "kat-v1-40b-2x80gb-bf16",
        "kat-v1-40b-1x80gb-fp8",
        "kat-v1-40b-1x80gb-awq",
        "kat-v1-40b-1x141gb-bf16",
    }


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_fits_every_gpu_of_the_size_in_its_name(path: Path) -> None:
    gpus, gib = re.search(r"-(\d)x(\d+)gb-", path.name).groups()  # type: ignore[union-attr] # the names are tested above
    for gpu in {"80": ("h100-80gb", "a100-80gb"), "141": ("h200-141gb",)}[gib]:
        question = read_recipe(path, find_gpu(gpu))
        assert question.gpus == int(gpus)
        assert make_plan(question).sequences >= 1


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_the_numbers_of_a_comment_are_the_computed_ones(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    lines = path.read_text("utf-8").splitlines()
    if path in RECIPES:
        lines = [line.removeprefix("#").removeprefix(" ") for line in lines]
    commands = [number for number, line in enumerate(lines) if line.startswith("$ kat plan ")]
    assert commands
    for number in commands:
        result = CliRunner().invoke(plan, shlex.split(lines[number].removeprefix("$ kat plan ")))
        printed = result.output.rstrip("\n").split("\n")
        assert lines[number + 1 : number + 1 + len(printed)] == printed
        if path in RECIPES:
            assert result.exit_code == 0


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_row_of_a_recipe_in_the_documentation_is_computed(path: Path) -> None:
    plan_of_recipe = make_plan(read_recipe(path, find_gpu("h200-141gb" if "141gb" in path.stem else "h100-80gb")))
    [row] = [line for line in SIZING.read_text("utf-8").splitlines() if line.startswith(f"| `{path.name}`")]
    assert [cell.strip() for cell in row.strip("|").split("|")][2:] == [
        f"{plan_of_recipe.weight_bytes / 1024**3:.2f} GiB",
        f"{plan_of_recipe.kv_tokens:,} tokens",
        f"{plan_of_recipe.question.max_model_len:,}",
        f"{plan_of_recipe.sequences_of(12_288)}",
    ]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_sets_only_what_the_predictor_reads(path: Path) -> None:
    known = {f"KAT_{name.upper()}" for name in Settings.model_fields}
    assert dotenv_values(path).keys() <= known


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_predictor_accepts_the_values_of_a_recipe(path: Path) -> None:
    settings = Settings(_env_file=path, service_token=SecretStr("token"))
    assert (settings.engine, settings.served_name, settings.default_max_tokens) == ("vllm", "KAT-V1-40B", 32_768)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_the_same_to_a_parser_that_knows_no_quotes(path: Path) -> None:
    """`docker run --env-file` takes what follows the equals sign as it stands."""
    lines = [line for line in path.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    assert dict(line.split("=", 1) for line in lines) == dotenv_values(path)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_vllm_runs_at_least_as_many_sequences_as_the_predictor_admits(path: Path) -> None:
    settings = dotenv_values(path)
    engine_args = read_engine_arguments(settings["KAT_ENGINE_ARGS"] or "")
    assert engine_args["max_num_seqs"] >= int(settings["KAT_MAX_CONCURRENT_REQUESTS"] or 0)


def recipe(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "settings.env"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_what_a_recipe_leaves_out_has_the_default_of_vllm(tmp_path: Path) -> None:
    question = read_recipe(recipe(tmp_path, "KAT_MODEL=kat-v1-40b"), find_gpu("h100-80gb"))
    assert (question.gpus, question.gpu_memory_utilization, question.max_model_len) == (1, 0.92, 131_072)
    assert (question.weights, question.kv, question.concurrency) == (WeightPrecision.BF16, KvPrecision.BF16, 1)


def test_vllm_arguments_become_the_question(tmp_path: Path) -> None:
    path = recipe(
        tmp_path,
        "KAT_MODEL=kat-v1-40b",
        'KAT_ENGINE_ARGS={"quantization":"fp8","kv-cache-dtype":"fp8_e4m3","enforce_eager":true,"max_num_seqs":8}',
        "KAT_MAX_MODEL_LEN=4096",
    )
    question = read_recipe(path, find_gpu("h100-80gb"))
    assert (question.weights, question.kv) == (WeightPrecision.FP8, KvPrecision.FP8)
    assert (question.cuda_graphs, question.max_num_seqs, question.max_model_len) == (False, 8, 4096)
    assert make_plan(question).verdict is Verdict.FITS


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["KAT_ENGINE=vllm"], "KAT_MODEL: field required"),
        (["KAT_MODEL=kat-v1-40b", "KAT_ENGINE_ARGS={oops"], "KAT_ENGINE_ARGS it is no valid JSON"),
        (
            ["KAT_MODEL=kat-v1-40b", 'KAT_ENGINE_ARGS={"max_num_seqs":0}'],
            "max_num_seqs: input should be greater than 0",
        ),
        (["KAT_MODEL=kat-v1-40b", 'KAT_ENGINE_ARGS={"pipeline_parallel_size":2}'], "pipeline_parallel_size is not"),
        (["KAT_MODEL=kat-v1-40b", 'KAT_ENGINE_ARGS={"quantization":"awq"}'], "'awq' of a checkpoint in bf16 is not"),
        (["KAT_MODEL=kat-v1-40b", 'KAT_ENGINE_ARGS={"kv_cache_dtype":"nvfp4"}'], "kv_cache_dtype 'nvfp4' is not known"),
        (["KAT_MODEL=someone/else"], "'someone/else' is neither a folder nor a config.json nor a model described here"),
    ],
)
def test_a_recipe_that_cannot_be_reckoned_says_why(tmp_path: Path, lines: list[str], reason: str) -> None:
    with pytest.raises(CannotPlan, match=reason):
        read_recipe(recipe(tmp_path, *lines), find_gpu("h100-80gb"))
