"""The adapter that comes with the package: small, of a kind that is known, and with the story of its making."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import orjson
import pytest
import torch
from safetensors import safe_open

from kat_predictor.engines.adapter import read_scale

FOLDER = Path(str(resources.files("kat_predictor").joinpath("data/default_adapter")))
LARGEST_BYTES = 10 * 10**6


def test_the_folder_holds_what_it_must_and_nothing_else() -> None:
    assert sorted(file.name for file in FOLDER.iterdir()) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "training.json",
    ]


def test_it_is_no_larger_than_ten_megabytes() -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) <= LARGEST_BYTES


def test_its_tensors_are_finite_and_of_two_bytes_a_number() -> None:
    with safe_open(FOLDER / "adapter_model.safetensors", framework="pt") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - it is no mapping
    assert {tensor.dtype for tensor in tensors.values()} <= {torch.bfloat16, torch.float16}
    assert [name for name, tensor in tensors.items() if not tensor.isfinite().all()] == []


def test_it_is_of_a_kind_that_can_be_merged() -> None:
    assert read_scale(FOLDER) > 0


def test_its_configuration_names_no_folder_of_the_machine_that_made_it() -> None:
    config = orjson.loads((FOLDER / "adapter_config.json").read_bytes())
    assert not Path(config["base_model_name_or_path"] or "").is_absolute()


def test_its_training_is_told() -> None:
    assert orjson.loads((FOLDER / "training.json").read_bytes())


@pytest.mark.parametrize("word", ["Apache-2.0", "SmolLM2-135M-Instruct", "arXiv"])
def test_its_card_names_licence_base_and_recipe(word: str) -> None:
    assert word.lower() in (FOLDER / "README.md").read_text("utf-8").lower()
