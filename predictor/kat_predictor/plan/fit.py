"""What fits: weights, KV cache and sequences on a number of GPUs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kat_predictor.plan.errors import CannotPlan
from kat_predictor.plan.gpus import Gpu
from kat_predictor.plan.hub_config import HubConfig
from kat_predictor.plan.parts import Cut, Part, experts, kv_elements, kv_heads, model_parts, uses_mla
from kat_predictor.plan.precision import KvPrecision, WeightPrecision
from kat_predictor.plan.reserve import Reserve, reserve

# The defaults of vLLM 0.32 on an H100 (vllm/config/cache.py, vllm/engine/arg_utils.py), but for the sequences: 1,024
# of them would reserve 6 GiB for a vocabulary of 152,064.
GPU_MEMORY_UTILIZATION: Final = 0.92
MAX_NUM_BATCHED_TOKENS: Final = 8_192
MAX_NUM_SEQS: Final = 256
GPUS_OF_A_NODE: Final = 8
"""GPUs over which tensor parallel is sensible: it needs the links within one machine."""
BLOCK_TOKENS: Final = 16
"""Tokens of one block of the KV cache; a sequence takes whole blocks."""


@dataclass(frozen=True, slots=True)
class Question:
    """What shall fit where."""

    model: str
    config: HubConfig
    weights: WeightPrecision
    gpu: Gpu
    gpus: int
    context: int
    """Tokens of one sequence, prompt and completion together."""
    concurrency: int
    """Sequences of that length at once."""
    max_model_len: int
    """Longest sequence that vLLM shall accept; it does not start where not even one such fits."""
    kv: KvPrecision = KvPrecision.BF16
    gpu_memory_utilization: float = GPU_MEMORY_UTILIZATION
    max_num_batched_tokens: int = MAX_NUM_BATCHED_TOKENS
    max_num_seqs: int = MAX_NUM_SEQS
    cuda_graphs: bool = True


class Verdict(StrEnum):
    """The answer."""

    FITS = "fits"
    FEWER = "fewer"
    """vLLM starts, but fewer sequences fit than asked; the others wait."""
    DOES_NOT_START = "does_not_start"


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer in numbers; sizes in bytes."""

    question: Question
    parameters: int
    weight_bytes: int
    weight_bytes_per_gpu: int
    kv_bytes_per_token: int
    kv_bytes_per_token_per_gpu: int
    usable_bytes_per_gpu: int
    reserve: Reserve
    kv_blocks: int
    """Blocks of the KV cache; 0 where the weights leave no room."""

    @property
    def kv_bytes_per_gpu(self) -> int:
        """What is left for the KV cache; negative where the rest does not fit."""
        return self.usable_bytes_per_gpu - self.weight_bytes_per_gpu - self.reserve.total

    @property
    def kv_tokens(self) -> int:
        return self.kv_blocks * BLOCK_TOKENS

    @property
    def sequences(self) -> int:
        """Sequences of the asked context that fit."""
        return self.sequences_of(self.question.context)

    @property
    def full_sequences(self) -> int:
        """Sequences as long as the model's own context that fit."""
        return self.sequences_of(self.question.config.context)

    @property
    def verdict(self) -> Verdict:
        if self.sequences_of(self.question.max_model_len) == 0:
            return Verdict.DOES_NOT_START
        return Verdict.FITS if self.sequences >= self.question.concurrency else Verdict.FEWER

    @property
    def longest_context(self) -> int:
        """Tokens that each of the asked sequences can have at once."""
        return self.kv_blocks // self.question.concurrency * BLOCK_TOKENS

    def sequences_of(self, tokens: int) -> int:
        return self.kv_blocks // -(-tokens // BLOCK_TOKENS)


def make_plan(question: Question) -> Plan:
    """Answer by arithmetic.

    Raises:
        CannotPlan: The question makes no sense: a context beyond the model's, or a number of GPUs that cannot share it.
    """
    config, gpus = question.config, question.gpus
    for name, tokens in (("context", question.context), ("max_model_len", question.max_model_len)):
        if tokens > config.context:
            raise CannotPlan(f"{name} {tokens:,} is beyond the model's own, {config.context:,}")
    if question.context > question.max_model_len:
        raise CannotPlan(f"context {question.context:,} is beyond max_model_len {question.max_model_len:,}")
    obstacle = tensor_parallel_obstacle(config, question.weights, gpus)
    if obstacle is not None:
        sizes = tensor_parallel_sizes(config, question.weights, at_most=GPUS_OF_A_NODE)
        raise CannotPlan(f"{obstacle}; possible are {', '.join(map(str, sizes))}")

    parts = model_parts(config)
    kv_bytes_per_token = kv_elements(config) * question.kv.bytes
    kv_bytes_per_token_per_gpu = kv_bytes_per_token // min(gpus, kv_heads(config))
    usable = int(question.gpu.visible_bytes * question.gpu_memory_utilization)
    weights_per_gpu = round(sum(_bytes(part, question.weights) / _pieces(part, config, gpus) for part in parts))
    kept_back = reserve(
        config,
        gpus=gpus,
        batched_tokens=question.max_num_batched_tokens,
        sequences=question.max_num_seqs,
        cuda_graphs=question.cuda_graphs,
    )
    left = usable - weights_per_gpu - kept_back.total
    return Plan(
        question=question,
        parameters=parameter_count(config),
        weight_bytes=round(sum(_bytes(part, question.weights) for part in parts)),
        weight_bytes_per_gpu=weights_per_gpu,
        kv_bytes_per_token=kv_bytes_per_token,
        kv_bytes_per_token_per_gpu=kv_bytes_per_token_per_gpu,
        usable_bytes_per_gpu=usable,
        reserve=kept_back,
        kv_blocks=max(0, left // (BLOCK_TOKENS * kv_bytes_per_token_per_gpu)),
    )


def parameter_count(config: HubConfig) -> int:
    """Parameters of the model."""
    return sum(part.parameters for part in model_parts(config) if not part.derived)


def tensor_parallel_obstacle(config: HubConfig, weights: WeightPrecision, gpus: int) -> str | None:
    """Why the model cannot be cut into this many pieces; None where it can. The rules are vLLM's."""
    heads, own_kv_heads = config.num_attention_heads, kv_heads(config)
    if heads % gpus:
        return f"{heads} attention heads cannot be shared evenly by {gpus} GPUs"
    if not uses_mla(config) and own_kv_heads % gpus and gpus % own_kv_heads:
        return f"{own_kv_heads} KV heads can be neither shared evenly by {gpus} GPUs nor copied evenly to them"
    mixture = experts(config)
    width = config.intermediate_size if mixture is None else mixture.intermediate
    if width % (gpus * weights.group):
        in_groups = f" in groups of {weights.group}" if weights.group > 1 else ""
        return f"feed-forward vectors of {width} cannot be shared evenly by {gpus} GPUs{in_groups}"
    return None


def tensor_parallel_sizes(config: HubConfig, weights: WeightPrecision, *, at_most: int) -> list[int]:
    """Numbers of GPUs that can share the model."""
    return [n for n in range(1, at_most + 1) if tensor_parallel_obstacle(config, weights, n) is None]


def _bytes(part: Part, weights: WeightPrecision) -> float:
    bits = weights.bits if part.quantised else WeightPrecision.BF16.bits
    return part.parameters * bits / 8


def _pieces(part: Part, config: HubConfig, gpus: int) -> int:
    match part.cut:
        case Cut.EVENLY:
            return gpus
        case Cut.BY_KV_HEAD:
            return min(gpus, kv_heads(config))
        case Cut.NOT:
            return 1
