"""The planner's parts sum up to the parameters of the model that transformers builds from the same config.json."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from kat_predictor.plan.fit import parameter_count
from kat_predictor.plan.hub_config import read_config

SMALL = {
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 112,
    "vocab_size": 320,
    "max_position_embeddings": 256,
}
LATENT = {
    "kv_lora_rank": 24,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 20,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "n_shared_experts": 2,
    "moe_intermediate_size": 40,
    "first_k_dense_replace": 1,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama"},
    "llama, biases and tied embeddings": {
        "model_type": "llama",
        "attention_bias": True,
        "mlp_bias": True,
        "tie_word_embeddings": True,
    },
    "llama, heads of their own size": {"model_type": "llama", "head_dim": 24},
    "mistral": {"model_type": "mistral"},
    "qwen2": {"model_type": "qwen2"},
    "qwen3": {"model_type": "qwen3"},
    "qwen3, biases": {"model_type": "qwen3", "attention_bias": True, "head_dim": 32},
    "mixtral": {"model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen2_moe, every second layer sparse": {
        "model_type": "qwen2_moe",
        "num_experts": 6,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 48,
        "shared_expert_intermediate_size": 80,
        "decoder_sparse_step": 2,
    },
    "qwen3_moe, one layer dense": {
        "model_type": "qwen3_moe",
        "num_experts": 6,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 48,
        "head_dim": 16,
        "mlp_only_layers": [1],
    },
    "deepseek_v2 without query compression": {"model_type": "deepseek_v2", "q_lora_rank": None, **LATENT},
    "deepseek_v2": {"model_type": "deepseek_v2", "q_lora_rank": 32, **LATENT},
    "deepseek_v3": {"model_type": "deepseek_v3", "q_lora_rank": 32, **LATENT},
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_the_parts_sum_up_to_the_parameters_that_transformers_builds(config: dict[str, Any]) -> None:
    written = {**SMALL, **config}
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**written))  # type: ignore[no-untyped-call] # theirs
    built = sum(parameter.numel() for parameter in model.parameters())
    # DeepSeek-V3's load balancing correction is stored in the checkpoint, yet no torch parameter.
    built += sum(buffer.numel() for name, buffer in model.named_buffers() if name.endswith("e_score_correction_bias"))
    assert parameter_count(read_config(written)) == built
