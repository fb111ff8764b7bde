from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from transformers import PreTrainedModel, Qwen2Config

from kat_predictor.engines.capacity import cache_cells
from kat_predictor.engines.forward import Forward


def with_config(model: PreTrainedModel, **changes: Any) -> PreTrainedModel:
    """The tiny model under another configuration."""
    config = Qwen2Config(**{**model.config.to_dict(), **changes})

    class Dressed(type(model)):  # type: ignore[misc] # the base is a fixture's class
        def __init__(self) -> None:
            torch.nn.Module.__init__(self)
            self.config = config
            self.model = cast("Any", model).model
            self.lm_head = cast("Any", model).lm_head

    return cast("PreTrainedModel", Dressed())


def test_a_model_with_a_state_that_has_no_rows_is_refused_by_name(model: PreTrainedModel) -> None:
    dressed = with_config(model)
    dressed.config.layer_types = ["linear_attention", "full_attention"]

    with pytest.raises(ValueError, match="linear_attention"):
        Forward(dressed)


def test_a_model_with_a_sliding_window_is_served_within_the_window(model: PreTrainedModel) -> None:
    dressed = with_config(model, use_sliding_window=True, sliding_window=64, max_window_layers=1)

    assert Forward(dressed).max_length == 64


def test_a_window_that_the_configuration_names_but_does_not_use_is_no_limit(model: PreTrainedModel) -> None:
    dressed = with_config(model, use_sliding_window=False, sliding_window=64)

    assert Forward(dressed).max_length == 256


def test_the_size_of_a_token_in_the_cache_follows_from_the_shapes(forward: Forward) -> None:
    """Keys and values, 2 layers, 2 heads of width 8, float32."""
    assert forward.cache_bytes_per_token == 2 * 2 * 2 * 8 * 4


def sized(bytes_per_token: int) -> Forward:
    return cast(
        "Forward",
        SimpleNamespace(device=torch.device("cpu"), cache_bytes_per_token=bytes_per_token, max_length=8192),
    )


def test_a_cpu_gives_two_gibibytes_to_the_cache() -> None:
    assert cache_cells(sized(320 * 1024), max_batch=32, prefix_cache_tokens=0) == 6553


def test_the_cache_is_no_larger_than_the_batch_can_ever_fill() -> None:
    assert cache_cells(sized(16), max_batch=4, prefix_cache_tokens=0) == 4 * 8192
