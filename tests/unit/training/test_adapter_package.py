"""An adapter is handed on with its card and its options, and without the paths of the machine that made it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from kat_training import adapter_package
from kat_training.adapter_package import package_adapter
from kat_training.errors import ModelError

RUNS: list[dict[str, Any]] = [
    {"asked": {"stage": "cold start", "steps": 600, "seed": 0, "corpus": "/somewhere/corpus"}, "seconds": 1800.0},
    {"asked": {"stage": "step srpo", "steps": 40, "seed": 3, "cold_start": "/somewhere/cold"}, "seconds": 600.0},
]
FIGURES: dict[str, Any] = {
    "questions": 400,
    "mode_accuracy": 0.975,
    "answer_accuracy": 0.8125,
    "answer_accuracy_where_on_is_due": 0.7,
    "think_on_share": 0.35,
    "tokens_per_question": 40.25,
    "instruction_obedience": 1.0,
    "dialogue_accuracy": None,
}


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Two finished runs."""
    folders = [tmp_path / "cold", tmp_path / "rl"]
    for number, (folder, told) in enumerate(zip(folders, RUNS, strict=True)):
        (folder / "adapter").mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps(told))
        config = {"peft_type": "LORA", "r": 1, "lora_alpha": 2, "target_modules": ["v_proj", "k_proj"]}
        config["base_model_name_or_path"] = "/somewhere/base"
        (folder / "adapter/adapter_config.json").write_text(json.dumps(config))
        save_file({"factor": torch.full((4,), float(number))}, folder / "adapter/adapter_model.safetensors")
    return folders


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    path = tmp_path / "figures.json"
    path.write_text(json.dumps({"model": "default", **FIGURES, "runs": {"auto": FIGURES, "off": FIGURES}}))
    return path


def test_the_last_runs_adapter_is_packed_with_card_and_options(
    runs: list[Path], evaluation: Path, tmp_path: Path
) -> None:
    packed = package_adapter(runs, evaluation, tmp_path / "packed")

    assert sorted(file.name for file in packed.iterdir()) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "training.json",
    ]
    weights = [folder / "adapter_model.safetensors" for folder in (runs[-1] / "adapter", packed)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_no_path_of_this_machine_is_handed_on(runs: list[Path], evaluation: Path, tmp_path: Path) -> None:
    packed = package_adapter(runs, evaluation, tmp_path / "packed")

    told = "".join((packed / name).read_text() for name in ("README.md", "adapter_config.json", "training.json"))
    assert "somewhere" not in told
    assert json.loads((packed / "training.json").read_text())["runs"][0]["asked"]["corpus"] == "corpus"


def test_the_card_has_the_figures_of_each_mode_and_the_stages(
    runs: list[Path], evaluation: Path, tmp_path: Path
) -> None:
    card = (package_adapter(runs, evaluation, tmp_path / "packed") / "README.md").read_text()

    assert "| mode_accuracy | 97.5% | 97.5% |" in card
    assert "| tokens_per_question | 40.25 | 40.25 |" in card
    assert "| dialogue_accuracy | - | - |" in card
    assert "| cold start | 600 | 0 | 30 |" in card


def test_the_same_adapter_makes_the_same_folder(runs: list[Path], evaluation: Path, tmp_path: Path) -> None:
    first = package_adapter(runs, evaluation, tmp_path / "first")
    config = runs[-1] / "adapter/adapter_config.json"
    config.write_text(config.read_text().replace('["v_proj", "k_proj"]', '["k_proj", "v_proj"]'))

    second = package_adapter(runs, evaluation, tmp_path / "second")

    assert [(first / file.name).read_bytes() == file.read_bytes() for file in second.iterdir()] == [True] * 4


def test_an_older_package_is_replaced(runs: list[Path], evaluation: Path, tmp_path: Path) -> None:
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed/old.txt").touch()

    packed = package_adapter(runs, evaluation, tmp_path / "packed")

    assert not (packed / "old.txt").exists()


def test_a_run_that_is_not_finished_is_refused(runs: list[Path], evaluation: Path, tmp_path: Path) -> None:
    (runs[0] / "run.json").write_text(json.dumps({"asked": RUNS[0]["asked"]}))

    with pytest.raises(ModelError, match=r"not finished: .*cold"):
        package_adapter(runs, evaluation, tmp_path / "packed")


def test_what_cannot_be_merged_is_refused_and_the_older_package_stays(
    runs: list[Path], evaluation: Path, tmp_path: Path
) -> None:
    (tmp_path / "packed").mkdir()
    config = runs[-1] / "adapter/adapter_config.json"
    config.write_text(json.dumps({"peft_type": "LORA", "r": 1, "lora_alpha": 2, "use_dora": True}))

    with pytest.raises(ModelError, match="use_dora"):
        package_adapter(runs, evaluation, tmp_path / "packed")
    assert (tmp_path / "packed").is_dir()


def test_what_is_too_large_is_refused(
    runs: list[Path], evaluation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter_package, "LARGEST_BYTES", 100)

    with pytest.raises(ModelError, match="MB, and may take"):
        package_adapter(runs, evaluation, tmp_path / "packed")
    assert [path.name for path in tmp_path.iterdir() if "packed" in path.name] == []


@pytest.mark.parametrize(
    ("text", "complaint"), [("{", "is damaged"), ("{}", "it has no 'runs'"), ('{"runs": {"auto": {}}}', "it has no")]
)
def test_figures_that_are_none_are_refused(
    runs: list[Path], evaluation: Path, tmp_path: Path, text: str, complaint: str
) -> None:
    evaluation.write_text(text)

    with pytest.raises(ModelError, match=complaint):
        package_adapter(runs, evaluation, tmp_path / "packed")
