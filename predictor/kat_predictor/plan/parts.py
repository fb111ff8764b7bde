"""The parts of a decoder: how many parameters each has, what quantisation touches, how tensor parallel cuts it.

Counted from the shapes of Hugging Face's modeling code; what is cut and what is copied follows vLLM's model code.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from kat_predictor.plan.hub_config import HubConfig


class Cut(StrEnum):
    """What tensor parallel does with a part."""

    EVENLY = "evenly"
    BY_KV_HEAD = "by_kv_head"
    """Cut into as many pieces as there are KV heads, at most, and copied beyond that."""
    NOT = "not"
    """A whole copy on each GPU."""


@dataclass(frozen=True, slots=True)
class Part:
    """Tensors of one kind, over all layers."""

    name: str
    parameters: int
    cut: Cut = Cut.EVENLY
    quantised: bool = False
    """Whether a quantised checkpoint keeps it in few bits; otherwise it stays at 16."""
    derived: bool = False
    """Made from another part when the model is loaded: takes memory, is no parameter."""


@dataclass(frozen=True, slots=True)
class Experts:
    """The mixture of a sparse layer."""

    count: int
    active: int
    intermediate: int
    shared_intermediate: int


def uses_mla(config: HubConfig) -> bool:
    """Whether attention is multi-head latent attention, which caches one latent vector a token."""
    return config.model_type in {"deepseek_v2", "deepseek_v3", "kimi_k2"}


def head_dim(config: HubConfig) -> int:
    """Elements of one head's key."""
    if config.head_dim is not None:
        return config.head_dim
    # transformers gives Qwen3 heads of 128 whatever its hidden size.
    return 128 if config.model_type.startswith("qwen3") else config.hidden_size // config.num_attention_heads


def kv_heads(config: HubConfig) -> int:
    """Heads of the KV cache; one for MLA, whose latent vector belongs to all heads."""
    if uses_mla(config):
        return 1
    if config.num_key_value_heads is None and config.model_type == "llama":
        return config.num_attention_heads
    return config.needs("num_key_value_heads")


def kv_elements(config: HubConfig) -> int:
    """Elements that one token keeps in the KV cache, over all layers."""
    if uses_mla(config):
        return config.num_hidden_layers * (config.needs("kv_lora_rank") + config.needs("qk_rope_head_dim"))
    return config.num_hidden_layers * 2 * kv_heads(config) * head_dim(config)


def experts(config: HubConfig) -> Experts | None:
    """The mixture of a sparse layer; None for a dense model."""
    match config.model_type:
        case "mixtral":
            count = config.needs("num_local_experts")
            return Experts(count, config.needs("num_experts_per_tok"), config.intermediate_size, 0)
        case "qwen2_moe" | "qwen3_moe":
            shared = config.shared_expert_intermediate_size if config.model_type == "qwen2_moe" else 0
            intermediate = config.needs("moe_intermediate_size")
            return Experts(config.needs("num_experts"), config.needs("num_experts_per_tok"), intermediate, shared)
        case "deepseek_v2" | "deepseek_v3" | "kimi_k2":
            intermediate = config.needs("moe_intermediate_size")
            shared = (config.n_shared_experts or 0) * intermediate
            return Experts(config.needs("n_routed_experts"), config.needs("num_experts_per_tok"), intermediate, shared)
        case _:
            return None


def model_parts(config: HubConfig) -> tuple[Part, ...]:
    """Every part of the model. Layers for multi-token prediction are left out: vLLM loads them for drafting only."""
    embedding = config.vocab_size * config.hidden_size
    ends = [Part("embedding", embedding), Part("final norm", config.hidden_size, Cut.NOT)]
    if not config.tie_word_embeddings:
        ends.append(Part("output layer", embedding))
    norms = Part("layer norms", config.num_hidden_layers * 2 * config.hidden_size, Cut.NOT)
    attention = _latent_attention(config) if uses_mla(config) else _grouped_attention(config)
    return (*ends, norms, *attention, *_feed_forward(config))


def _grouped_attention(config: HubConfig) -> list[Part]:
    layers, hidden, size = config.num_hidden_layers, config.hidden_size, head_dim(config)
    q, kv = config.num_attention_heads * size, kv_heads(config) * size
    parts = [
        Part("attention: query and output", layers * 2 * hidden * q, quantised=True),
        Part("attention: key and value", layers * 2 * hidden * kv, Cut.BY_KV_HEAD, quantised=True),
    ]
    match config.model_type:
        case "qwen2" | "mixtral" | "mistral":
            qkv_bias, output_bias = config.model_type == "qwen2", False
        case "qwen2_moe":
            qkv_bias, output_bias = config.qkv_bias, False
        case _:
            qkv_bias = output_bias = config.attention_bias
    if qkv_bias:
        parts.append(Part("attention: biases", layers * (q + 2 * kv), Cut.BY_KV_HEAD))
    if output_bias:
        parts.append(Part("attention: output bias", layers * hidden, Cut.NOT))
    if config.model_type.startswith("qwen3"):
        parts.append(Part("attention: query and key norms", layers * 2 * size, Cut.NOT))
    return parts


def _latent_attention(config: HubConfig) -> list[Part]:
    layers, hidden, heads = config.num_hidden_layers, config.hidden_size, config.num_attention_heads
    nope, rope, value = (config.needs(f) for f in ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"))
    latent = config.needs("kv_lora_rank")
    query = heads * (nope + rope)
    down, whole_norms = hidden * (latent + rope), latent
    if config.q_lora_rank is None:
        up_query = hidden * query
    else:
        up_query = config.q_lora_rank * query
        down += hidden * config.q_lora_rank
        whole_norms += config.q_lora_rank
    if config.attention_bias:
        whole_norms += latent + rope + (config.q_lora_rank or 0) + hidden
    up_kv = latent * heads * (nope + value)
    return [
        Part("attention: down projections", layers * down, Cut.NOT, quantised=True),
        Part(
            "attention: up projections and output", layers * (up_query + up_kv + heads * value * hidden), quantised=True
        ),
        Part("attention: norms and biases", layers * whole_norms, Cut.NOT),
        # Decoding uses the up projection folded into query and output; vLLM keeps that copy in 16 bit beside it.
        Part("attention: folded up projection", layers * up_kv, derived=True),
    ]


def _feed_forward(config: HubConfig) -> list[Part]:
    hidden, mixture = config.hidden_size, experts(config)
    sparse = 0 if mixture is None else sum(_is_sparse(config, layer) for layer in range(config.num_hidden_layers))
    dense = config.num_hidden_layers - sparse
    parts = []
    if dense:
        parts.append(Part("feed-forward", dense * 3 * hidden * config.intermediate_size, quantised=True))
        if config.mlp_bias:
            parts.append(Part("feed-forward: biases", dense * (2 * config.intermediate_size + hidden), Cut.NOT))
    if mixture is not None and sparse:
        routed = mixture.count * 3 * hidden * mixture.intermediate
        shared = 3 * hidden * mixture.shared_intermediate
        router = mixture.count * hidden
        if config.model_type == "qwen2_moe":
            router += hidden  # the gate of the shared expert
        if config.topk_method == "noaux_tc" or config.model_type == "deepseek_v3":
            router += mixture.count  # the correction that balances the load
        parts.append(Part("experts", sparse * (routed + shared), quantised=True))
        parts.append(Part("routers", sparse * router, Cut.NOT))
    return parts


def _is_sparse(config: HubConfig, layer: int) -> bool:
    match config.model_type:
        case "qwen2_moe" | "qwen3_moe":
            return layer not in config.mlp_only_layers and (layer + 1) % config.decoder_sparse_step == 0
        case "deepseek_v2" | "deepseek_v3" | "kimi_k2":
            return layer >= config.first_k_dense_replace and layer % config.moe_layer_freq == 0
        case _:
            return True
