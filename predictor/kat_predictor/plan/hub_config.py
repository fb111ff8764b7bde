"""The fields of a Hugging Face config.json that decide how much memory a decoder needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError

from kat_predictor.plan.errors import CannotPlan

FAMILIES: Final = (
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "mixtral",
    "qwen2_moe",
    "qwen3_moe",
    "deepseek_v2",
    "deepseek_v3",
    "kimi_k2",
)
"""Values of `model_type` whose parts are known here."""

# vLLM multiplies the context by the factor of every other kind of rope (vllm/config/model.py, v0.32).
_ROPE_KEEPS_CONTEXT: Final = frozenset({"default", "llama3", "longrope", "su", "mrope"})


class RopeScaling(BaseModel):
    """How positions are stretched."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    rope_type: str | None = None
    type: str | None = None
    factor: PositiveFloat | None = None
    original_max_position_embeddings: PositiveInt | None = None


class HubConfig(BaseModel):
    """config.json of a decoder-only model."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    model_type: str
    hidden_size: PositiveInt
    num_hidden_layers: PositiveInt
    num_attention_heads: PositiveInt
    intermediate_size: PositiveInt
    vocab_size: PositiveInt
    max_position_embeddings: PositiveInt
    num_key_value_heads: PositiveInt | None = None
    head_dim: PositiveInt | None = None
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    mlp_bias: bool = False
    qkv_bias: bool = True
    rope_scaling: RopeScaling | None = None
    rope_parameters: RopeScaling | None = None
    sliding_window: PositiveInt | None = None
    use_sliding_window: bool = True
    layer_types: list[str] | None = None
    quantization_config: dict[str, Any] | None = None

    num_experts: PositiveInt | None = None
    num_local_experts: PositiveInt | None = None
    n_routed_experts: PositiveInt | None = None
    num_experts_per_tok: PositiveInt | None = None
    moe_intermediate_size: PositiveInt | None = None
    shared_expert_intermediate_size: NonNegativeInt = 0
    n_shared_experts: NonNegativeInt | None = None
    decoder_sparse_step: PositiveInt = 1
    mlp_only_layers: list[int] = []
    first_k_dense_replace: NonNegativeInt = 0
    moe_layer_freq: PositiveInt = 1
    topk_method: str | None = None

    q_lora_rank: PositiveInt | None = None
    kv_lora_rank: PositiveInt | None = None
    qk_nope_head_dim: PositiveInt | None = None
    qk_rope_head_dim: PositiveInt | None = None
    v_head_dim: PositiveInt | None = None

    @property
    def context(self) -> int:
        """Tokens of the longest sequence the model takes, as vLLM derives it."""
        rope = self.rope_parameters or self.rope_scaling
        if rope is None or rope.factor is None or (rope.rope_type or rope.type) in _ROPE_KEEPS_CONTEXT:
            return self.max_position_embeddings
        unscaled = rope.original_max_position_embeddings or self.max_position_embeddings
        return int(unscaled * rope.factor)

    @property
    def slides(self) -> bool:
        """Whether some layer keeps a window of the context only."""
        if self.layer_types is not None:
            return "sliding_attention" in self.layer_types
        # Only Qwen2 and Qwen3 have the switch, and they have it off unless it is written down.
        switched_on = self.use_sliding_window and "use_sliding_window" in self.model_fields_set
        return self.sliding_window is not None and (switched_on or not self.model_type.startswith("qwen"))

    def needs(self, field: str) -> int:
        """The value of a field that this family cannot do without.

        Raises:
            CannotPlan: It is not there.
        """
        value = getattr(self, field)
        if value is None:
            raise CannotPlan(f"config.json of type {self.model_type!r} has no {field!r}")
        assert isinstance(value, int)  # noqa: S101 - called for counts only
        return value


def read_config(config: Mapping[str, Any]) -> HubConfig:
    """Check the content of a config.json.

    Raises:
        CannotPlan: A field is missing or bad, or the architecture is one whose parts are not known here.
    """
    model_type = config.get("model_type")
    if model_type not in FAMILIES:
        raise CannotPlan(
            f"the parts of a model of type {model_type!r} are not known here; known types: {', '.join(FAMILIES)}"
        )
    try:
        hub_config = HubConfig.model_validate(config)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg'].lower()}" for fault in error.errors())
        raise CannotPlan(f"config.json: {faults}") from None
    unknown = set(hub_config.layer_types or ()) - {"full_attention", "sliding_attention"}
    if unknown:
        raise CannotPlan(f"config.json: attention layout {', '.join(sorted(unknown))} is not known here")
    return hub_config
