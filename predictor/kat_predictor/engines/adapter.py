"""Adds a low-rank adapter to the weights of a checkpoint, so that serving needs neither the adapter nor peft.

An adapter in peft's format is a folder: `adapter_config.json`, and `adapter_model.safetensors` with two factors A and B
for each layer that it changes. A layer's weights become W + alpha / r * B A, which is what peft computes at every step.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any, Final

import orjson
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

CONFIG: Final = "adapter_config.json"
WEIGHTS: Final = "adapter_model.safetensors"
_CHECKPOINT_WEIGHTS: Final = "model.safetensors"
_FACTOR: Final = re.compile(r"base_model\.model\.(?P<layer>.+)\.lora_(?P<factor>[AB])\.weight")

_OF_NO_CONSEQUENCE: Final = frozenset({
    "auto_mapping",
    "base_model_name_or_path",
    "exclude_modules",
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
    "lora_dropout",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "target_modules",
    "task_type",
})  # fmt: skip
"""Settings of the training, or of what the tensors say by themselves."""
_READ: Final = frozenset({"peft_type", "r", "lora_alpha", "init_lora_weights"})
# The other ways to begin take something away from the base's own weights.
_PLAIN_BEGINNINGS: Final = (None, True, False, "gaussian")
_OFF: Final[tuple[object, ...]] = (None, False, "none", {}, [])

Factors = tuple[torch.Tensor, torch.Tensor]
"""A of shape (r, in) and B of shape (out, r)."""


class AdapterError(Exception):
    """An adapter that is damaged, of a kind that is not known here, or another model's."""


def merge_adapter(base: Path, adapter: Path, target: Path) -> None:
    """Write a checkpoint with an adapter in its weights.

    Args:
        base: a checkpoint folder whose weights are in one file.
        adapter: a folder in peft's format.
        target: the folder to write, which must not exist. All but the weights is copied from the base.

    Raises:
        AdapterError: the adapter cannot be added to this base.
        OSError: a file cannot be read or written.
        SafetensorError: the weights cannot be written.
    """
    scale = read_scale(adapter)
    factors = _read_factors(adapter)
    weights = load_file(base / _CHECKPOINT_WEIGHTS)
    for layer, (a, b) in factors.items():
        name = f"{layer}.weight"
        own = weights.get(name)
        if own is None or own.shape != (b.shape[0], a.shape[1]):
            shape = "no such layer" if own is None else f"there {tuple(own.shape)}"
            raise AdapterError(f"it is another model's: it adds {(b.shape[0], a.shape[1])} to {name}, {shape}")
        weights[name] = (own.float() + scale * (b.float() @ a.float())).to(own.dtype)
    target.mkdir()
    for file in base.iterdir():
        if file.name != _CHECKPOINT_WEIGHTS:
            shutil.copyfile(file, target / file.name)
    # transformers loads no file that does not say whose format it is.
    save_file(weights, target / _CHECKPOINT_WEIGHTS, metadata={"format": "pt"})


def read_scale(adapter: Path) -> float:
    """What the product of an adapter's factors is multiplied with.

    Raises:
        AdapterError: there is no configuration, or it asks for what is not known here, which would be a wrong model
            without a word.
        OSError: it cannot be read.
    """
    try:
        config: dict[str, Any] = orjson.loads((adapter / CONFIG).read_bytes())
        kind, rank, alpha = config["peft_type"], int(config["r"]), float(config["lora_alpha"])
    except FileNotFoundError as error:
        raise AdapterError(f"{adapter} has no {CONFIG}") from error
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise AdapterError(f"{adapter / CONFIG} is damaged: {error}") from error
    if kind != "LORA" or rank < 1:
        raise AdapterError(f"it is {kind} of rank {rank}, and LORA is known alone")
    asked = {key: value for key, value in config.items() if key not in _OF_NO_CONSEQUENCE | _READ and value not in _OFF}
    if config.get("init_lora_weights") not in _PLAIN_BEGINNINGS:
        asked["init_lora_weights"] = config["init_lora_weights"]
    if asked:
        raise AdapterError(
            "it asks for what is not known here: " + ", ".join(f"{key}={asked[key]}" for key in sorted(asked))
        )
    return alpha / rank


def _read_factors(adapter: Path) -> dict[str, Factors]:
    """The factors by the layer that they change."""
    try:
        tensors = load_file(adapter / WEIGHTS)
    except FileNotFoundError as error:
        raise AdapterError(f"{adapter} has no {WEIGHTS}") from error
    except SafetensorError as error:
        raise AdapterError(f"{adapter / WEIGHTS} is damaged: {error}") from error
    found: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        match = _FACTOR.fullmatch(name)
        if match is None or tensor.dim() != 2:  # noqa: PLR2004 - a matrix
            raise AdapterError(f"it holds {name} of shape {tuple(tensor.shape)}, which is no factor of a linear layer")
        found.setdefault(match["layer"], {})[match["factor"]] = tensor
    if not found:
        raise AdapterError("it changes no layer")
    if halves := sorted(layer for layer, pair in found.items() if len(pair) != len("AB")):
        raise AdapterError(f"it has one factor of two for {', '.join(halves)}")
    factors = {layer: (pair["A"], pair["B"]) for layer, pair in found.items()}
    if odd := sorted(layer for layer, (a, b) in factors.items() if a.shape[0] != b.shape[1]):
        raise AdapterError(f"its factors do not fit each other in {', '.join(odd)}")
    return factors
