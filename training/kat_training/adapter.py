"""Adapters on disk, and a model merged with one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from peft import PeftConfig, PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError
from transformers import PreTrainedModel

from kat_training.base_model import Base
from kat_training.errors import ModelError


def save_adapter(model: PeftModel, folder: Path) -> Path:
    """Write an adapter in peft's format, in bfloat16: half of its size, and of no worse use once it is merged."""
    trained = {name: value.to(torch.bfloat16) for name, value in get_peft_model_state_dict(model).items()}
    model.save_pretrained(str(folder), state_dict=trained, save_embedding_layers=False)
    return folder


def merge(base: Base, adapter: Path, target: Path) -> Path:
    """An ordinary checkpoint in bfloat16 that judges by itself: the base with the adapter added to its weights.

    Args:
        base: Its model is changed.
        adapter: A folder of `save_adapter`.
        target: The checkpoint's folder.

    Raises:
        ModelError: The adapter is missing, damaged or another model's, or the checkpoint cannot be written.
    """
    try:
        merged: PreTrainedModel = load_adapter(base, adapter).merge_and_unload()
        merged.bfloat16().save_pretrained(str(target))
        base.tokenizer.save_pretrained(str(target))
    except OSError as error:
        raise ModelError(f"{target} cannot be written: {error.strerror or error}") from error
    return target


@contextmanager
def merged_for_sampling(model: PeftModel) -> Iterator[None]:
    """The adapter as part of the weights, which halves the time of a token; afterwards they are what they were to the bit.

    Taking it out again by subtraction would leave a rounding error behind each time.
    """
    plain = {name: weights.detach().clone() for name, weights in model.named_parameters() if ".base_layer." in name}
    model.merge_adapter()
    try:
        yield
    finally:
        model.unmerge_adapter()
        with torch.no_grad():
            for name, weights in model.named_parameters():
                if name in plain:
                    weights.copy_(plain[name])


def load_adapter(base: Base, adapter: Path, *, trainable: bool = False) -> PeftModel:
    """The base with an adapter on it, in float32.

    Raises:
        ModelError: The adapter is missing, damaged or another model's.
    """
    try:
        PeftConfig.from_pretrained(str(adapter))
        return PeftModel.from_pretrained(base.model, str(adapter), is_trainable=trainable)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        raise ModelError(f"the adapter {adapter} does not fit {base.name}: {error}") from error
