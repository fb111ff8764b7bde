"""What is added to a checkpoint's weights, and what is refused rather than added wrongly."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from kat_predictor.engines.adapter import AdapterError, merge_adapter

LAYER = "model.layers.0.mlp.up_proj"
A, B = f"base_model.model.{LAYER}.lora_A.weight", f"base_model.model.{LAYER}.lora_B.weight"
CONFIG = {
    "peft_type": "LORA",
    "r": 2,
    "lora_alpha": 4,
    "lora_dropout": 0.05,
    "bias": "none",
    "use_dora": False,
    "rank_pattern": {},
    "target_modules": ["up_proj"],
    "init_lora_weights": True,
    "base_model_name_or_path": "/somewhere",
}

WriteAdapter = Callable[..., Path]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A checkpoint with two layers of three outputs and two inputs."""
    folder = tmp_path / "base"
    folder.mkdir()
    own = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], dtype=torch.bfloat16)
    save_file(
        {f"{LAYER}.weight": own, "model.norm.weight": torch.ones(2, dtype=torch.bfloat16)}, folder / "model.safetensors"
    )
    (folder / "tokenizer.json").write_text("{}")
    return folder


@pytest.fixture
def write_adapter(tmp_path: Path) -> WriteAdapter:
    """Writes an adapter whose product is [[1, 0], [0, 1], [1, 1]], changed as asked."""

    def write(tensors: dict[str, torch.Tensor | None] | None = None, **config: Any) -> Path:
        folder = tmp_path / "adapter"
        folder.mkdir()
        (folder / "adapter_config.json").write_text(json.dumps({**CONFIG, **config}))
        factors = {A: torch.eye(2), B: torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), **(tensors or {})}
        kept = {name: tensor for name, tensor in factors.items() if tensor is not None}
        save_file(kept, folder / "adapter_model.safetensors")
        return folder

    return write


def test_the_factors_product_is_added_at_its_scale(base: Path, write_adapter: WriteAdapter, tmp_path: Path) -> None:
    merge_adapter(base, write_adapter(), tmp_path / "merged")

    merged = load_file(tmp_path / "merged/model.safetensors")

    assert merged[f"{LAYER}.weight"].tolist() == [[3.0, 2.0], [3.0, 6.0], [7.0, 8.0]]


def test_layers_without_factors_and_the_weights_type_stay(
    base: Path, write_adapter: WriteAdapter, tmp_path: Path
) -> None:
    merge_adapter(base, write_adapter(), tmp_path / "merged")

    merged = load_file(tmp_path / "merged/model.safetensors")

    assert merged["model.norm.weight"].tolist() == [1.0, 1.0]
    assert {tensor.dtype for tensor in merged.values()} == {torch.bfloat16}


def test_what_else_is_in_the_base_is_copied(base: Path, write_adapter: WriteAdapter, tmp_path: Path) -> None:
    merge_adapter(base, write_adapter(), tmp_path / "merged")

    assert sorted(file.name for file in (tmp_path / "merged").iterdir()) == ["model.safetensors", "tokenizer.json"]


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"use_dora": True}, "use_dora=True"),
        ({"use_rslora": True}, "use_rslora=True"),
        ({"bias": "all"}, "bias=all"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"rank_pattern": {"up_proj": 8}}, "rank_pattern"),
        ({"alpha_pattern": {"up_proj": 8}}, "alpha_pattern"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out=True"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights=pissa"),
        ({"a_setting_of_the_future": 1}, "a_setting_of_the_future=1"),
        ({"peft_type": "IA3"}, "IA3"),
        ({"r": 0}, "rank 0"),
        ({"r": "many"}, "damaged"),
        ({"lora_alpha": None}, "damaged"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_kind_of_adapter_that_is_not_known_is_refused_by_name(
    base: Path, write_adapter: WriteAdapter, tmp_path: Path, config: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(AdapterError, match=complaint):
        merge_adapter(base, write_adapter(**config), tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


@pytest.mark.parametrize(
    ("tensors", "complaint"),
    [
        pytest.param({B: None}, "one factor of two", id="a factor is missing"),
        pytest.param({A: None, B: None}, "changes no layer", id="nothing in it"),
        pytest.param({A: torch.ones(2, 3)}, r"another model's: it adds \(3, 3\)", id="a layer of another shape"),
        pytest.param({A: torch.ones(1, 2)}, "do not fit each other", id="factors of two ranks"),
        pytest.param({A: torch.ones(2)}, "no factor of a linear layer", id="a vector"),
        pytest.param(
            {"base_model.model.lm_head.weight": torch.ones(2, 2)}, "no factor of a linear layer", id="a whole layer"
        ),
        pytest.param(
            {A.replace("0", "7"): torch.ones(2, 2), B.replace("0", "7"): torch.ones(3, 2)},
            "layers.7.mlp.up_proj.weight, no such layer",
            id="a layer that is not there",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    base: Path, write_adapter: WriteAdapter, tmp_path: Path, tensors: dict[str, torch.Tensor | None], complaint: str
) -> None:
    with pytest.raises(AdapterError, match=complaint):
        merge_adapter(base, write_adapter(tensors), tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_missing_file_is_named(base: Path, write_adapter: WriteAdapter, tmp_path: Path, name: str) -> None:
    adapter = write_adapter()
    (adapter / name).unlink()

    with pytest.raises(AdapterError, match=f"has no {name}"):
        merge_adapter(base, adapter, tmp_path / "merged")


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_file_that_ends_too_early_is_named(
    base: Path, write_adapter: WriteAdapter, tmp_path: Path, name: str
) -> None:
    adapter = write_adapter()
    whole = (adapter / name).read_bytes()
    (adapter / name).write_bytes(whole[: len(whole) // 2])

    with pytest.raises(AdapterError, match=f"{name} is damaged"):
        merge_adapter(base, adapter, tmp_path / "merged")
