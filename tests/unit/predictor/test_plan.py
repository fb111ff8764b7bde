"""The planner reproduces published numbers: parameters, weights, KV cache, what vLLM logged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kat_predictor.plan.advice import advice
from kat_predictor.plan.errors import CannotPlan
from kat_predictor.plan.fit import Plan, Question, Verdict, make_plan, tensor_parallel_sizes
from kat_predictor.plan.gpus import Gpu, find_gpu
from kat_predictor.plan.hub_config import read_config
from kat_predictor.plan.models import find_model
from kat_predictor.plan.precision import KvPrecision, WeightPrecision

GIB = 1024**3

# config.json of the models on the Hugging Face hub, cut to the fields that count.
QWEN25_32B = {
    "model_type": "qwen2",
    "hidden_size": 5120,
    "num_hidden_layers": 64,
    "num_attention_heads": 40,
    "num_key_value_heads": 8,
    "intermediate_size": 27648,
    "vocab_size": 152064,
    "max_position_embeddings": 32768,
    "sliding_window": 131072,
    "use_sliding_window": False,
}
QWEN25_72B = {
    **QWEN25_32B,
    "hidden_size": 8192,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "intermediate_size": 29568,
}
LLAMA31_8B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192},
}
LLAMA31_405B = {
    **LLAMA31_8B,
    "hidden_size": 16384,
    "num_hidden_layers": 126,
    "num_attention_heads": 128,
    "intermediate_size": 53248,
}
MIXTRAL_8X7B = {
    **LLAMA31_8B,
    "model_type": "mixtral",
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "vocab_size": 32000,
    "max_position_embeddings": 32768,
    "rope_scaling": None,
}
DEEPSEEK_V3 = {
    "model_type": "deepseek_v3",
    "hidden_size": 7168,
    "num_hidden_layers": 61,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "intermediate_size": 18432,
    "vocab_size": 129280,
    "max_position_embeddings": 163840,
    "rope_scaling": {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096},
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 2048,
    "first_k_dense_replace": 3,
    "topk_method": "noaux_tc",
}


def plan_of(config: dict[str, Any], **changes: Any) -> Plan:
    return make_plan(question_of(config, **changes))


def question_of(config: dict[str, Any], **changes: Any) -> Question:
    hub_config = read_config(config)
    context = changes.pop("context", 1_024)
    question = Question(
        model="a model",
        config=hub_config,
        weights=WeightPrecision.BF16,
        gpu=Gpu("any", "any", 10_000 * GIB, 0),
        gpus=1,
        context=context,
        concurrency=1,
        max_model_len=context,
    )
    return replace(question, **changes)


def kat(**changes: Any) -> Question:
    model = find_model("kat-v1-40b")
    question = Question(
        model=model.name,
        config=model.config,
        weights=model.weights,
        gpu=find_gpu("h100-80gb"),
        gpus=1,
        context=12_288,
        concurrency=1,
        max_model_len=12_288,
    )
    return replace(question, **changes)


# KAT-V1-40B


def test_kat_has_forty_billion_parameters() -> None:
    assert make_plan(kat(gpus=2)).parameters == 40_565_560_320


def test_kat_takes_75_6_gib_in_bf16() -> None:
    plan = make_plan(kat(gpus=2))
    assert round(plan.weight_bytes / GIB, 1) == 75.6
    assert round(plan.weight_bytes / 1e9, 1) == 81.1


def test_a_token_of_kat_keeps_320_kib_and_a_full_context_40_gib() -> None:
    plan = make_plan(kat(gpus=2))
    assert plan.kv_bytes_per_token == 320 * 1024
    assert plan.kv_bytes_per_token * plan.question.config.context == 40 * GIB


def test_kat_in_bf16_needs_a_second_80_gb_gpu() -> None:
    assert make_plan(kat(gpus=1)).verdict is Verdict.DOES_NOT_START
    assert make_plan(kat(gpus=2)).verdict is Verdict.FITS


def test_kat_in_bf16_fits_one_141_gb_gpu() -> None:
    assert make_plan(kat(gpu=find_gpu("h200-141gb"))).verdict is Verdict.FITS


@pytest.mark.parametrize("weights", [WeightPrecision.FP8, WeightPrecision.INT4_AWQ, WeightPrecision.INT4_GPTQ])
def test_kat_in_few_bits_fits_one_80_gb_gpu(weights: WeightPrecision) -> None:
    assert make_plan(kat(weights=weights)).verdict is Verdict.FITS


def test_kat_can_be_shared_by_one_two_four_or_eight_gpus() -> None:
    config = find_model("kat-v1-40b").config
    assert tensor_parallel_sizes(config, WeightPrecision.BF16, at_most=8) == [1, 2, 4, 8]


# Other models


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (QWEN25_32B, 32_763_876_352),
        (QWEN25_72B, 72_706_203_648),
        (LLAMA31_8B, 8_030_261_248),
        (LLAMA31_405B, 405_853_388_800),
        (MIXTRAL_8X7B, 46_702_792_704),
        (DEEPSEEK_V3, 671_026_419_200),
    ],
    ids=["Qwen2.5-32B", "Qwen2.5-72B", "Llama-3.1-8B", "Llama-3.1-405B", "Mixtral-8x7B", "DeepSeek-V3"],
)
def test_parameters_are_those_of_the_published_checkpoint(config: dict[str, Any], parameters: int) -> None:
    assert plan_of(config).parameters == parameters


@pytest.mark.parametrize(
    ("config", "kilobytes"),
    [(DEEPSEEK_V3, 70.272), (QWEN25_72B, 327.680), (LLAMA31_405B, 516.096)],
    ids=["DeepSeek-V3 (MLA)", "Qwen2.5-72B (GQA)", "Llama-3.1-405B (GQA)"],
)
def test_kv_cache_of_a_token_is_that_of_the_deepseek_hardware_paper(config: dict[str, Any], kilobytes: float) -> None:
    """Table 1 of arXiv:2505.09343."""
    assert plan_of(config).kv_bytes_per_token == kilobytes * 1000


# Tensor parallel


def test_kv_heads_are_copied_where_there_are_more_gpus_than_heads() -> None:
    config = {**LLAMA31_8B, "num_key_value_heads": 2}
    shares = [plan_of(config, gpus=n).kv_bytes_per_token_per_gpu for n in (1, 2, 4, 8)]
    assert [shares[0] // share for share in shares] == [1, 2, 2, 2]


def test_a_latent_kv_cache_is_whole_on_each_gpu() -> None:
    plan = plan_of(DEEPSEEK_V3, gpus=8)
    assert plan.kv_bytes_per_token_per_gpu == plan.kv_bytes_per_token


def test_norms_are_copied_and_matrices_cut() -> None:
    plan = plan_of(LLAMA31_8B, gpus=8)
    norms = (32 * 2 + 1) * 4096 * 2
    assert plan.weight_bytes_per_gpu == (plan.weight_bytes - norms) // 8 + norms


@pytest.mark.parametrize(
    ("config", "gpus", "weights", "reason"),
    [
        (QWEN25_32B, 3, WeightPrecision.BF16, "40 attention heads cannot be shared evenly by 3 GPUs"),
        (QWEN25_32B, 5, WeightPrecision.BF16, "8 KV heads can be neither shared evenly by 5 GPUs"),
        (QWEN25_72B, 8, WeightPrecision.INT4_AWQ, "feed-forward vectors of 29568 cannot be shared evenly by 8 GPUs"),
    ],
)
def test_a_number_of_gpus_that_cannot_share_the_model_is_refused(
    config: dict[str, Any], gpus: int, weights: WeightPrecision, reason: str
) -> None:
    with pytest.raises(CannotPlan, match=reason):
        plan_of(config, gpus=gpus, weights=weights)


# What vLLM logged for Qwen2.5-32B on two L40S at 0.9 (github.com/vllm-project/vllm/issues/15815): weights 30.71 GiB,
# 7.71 GiB left for 3,947 blocks.


def test_weights_agree_with_vllm_to_one_percent() -> None:
    assert plan_of(QWEN25_32B, gpus=2).weight_bytes_per_gpu / GIB == pytest.approx(30.71, rel=0.01)


def test_the_same_room_gives_the_same_number_of_blocks_as_in_vllm() -> None:
    plan = plan_of(QWEN25_32B, gpus=2)
    reserved = plan.weight_bytes_per_gpu + plan.reserve.total
    gpu = Gpu("room", "room", reserved + int(7.71 * GIB), 0)
    assert plan_of(QWEN25_32B, gpus=2, gpu=gpu, gpu_memory_utilization=1.0).kv_blocks == 3_947


def test_the_reserve_is_more_than_vllm_needed_but_not_by_much() -> None:
    plan = plan_of(
        QWEN25_32B, gpus=2, gpu=find_gpu("l40s-48gb"), gpu_memory_utilization=0.9, max_num_batched_tokens=10_000
    )
    assert 7.71 - 3 <= plan.kv_bytes_per_gpu / GIB <= 7.71


# Sequences


def test_a_sequence_takes_whole_blocks() -> None:
    plan = plan_of(LLAMA31_8B, context=17)
    assert plan.sequences == plan.kv_blocks // 2


def test_vllm_does_not_start_unless_one_longest_sequence_fits() -> None:
    fp8 = kat(weights=WeightPrecision.FP8)
    assert make_plan(fp8).verdict is Verdict.FITS
    assert make_plan(replace(fp8, max_model_len=131_072)).verdict is Verdict.DOES_NOT_START


def test_fewer_sequences_than_asked_is_neither_a_fit_nor_a_failure() -> None:
    plan = make_plan(kat(gpus=2, concurrency=1_000))
    assert plan.verdict is Verdict.FEWER
    assert 0 < plan.sequences < 1_000


def test_a_context_beyond_the_models_own_is_refused() -> None:
    with pytest.raises(CannotPlan, match="131,073 is beyond the model's own, 131,072"):
        make_plan(kat(context=131_073, max_model_len=131_073))


@pytest.mark.parametrize(
    ("rope", "context"),
    [
        (None, 32_768),
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32_768}, 131_072),
        ({"type": "linear", "factor": 2.0}, 65_536),
        ({"rope_type": "llama3", "factor": 8.0}, 32_768),
    ],
)
def test_the_context_is_stretched_as_the_rope_says(rope: dict[str, Any] | None, context: int) -> None:
    assert read_config({**QWEN25_32B, "rope_scaling": rope}).context == context


@given(
    gpus=st.sampled_from([1, 2, 4, 8]),
    context=st.integers(16, 131_072),
    concurrency=st.integers(1, 64),
    gpu=st.sampled_from(["h100-80gb", "h200-141gb", "a100-40gb", "l4-24gb"]),
    weights=st.sampled_from(WeightPrecision),
    kv=st.sampled_from(KvPrecision),
)
def test_the_sequences_that_fit_never_take_more_than_the_gpu_has(
    gpus: int, context: int, concurrency: int, gpu: str, weights: WeightPrecision, kv: KvPrecision
) -> None:
    question = kat(gpus=gpus, context=context, max_model_len=context, concurrency=concurrency, gpu=find_gpu(gpu))
    plan = make_plan(replace(question, weights=weights, kv=kv))
    used = plan.weight_bytes_per_gpu + plan.reserve.total + plan.sequences * context * plan.kv_bytes_per_token_per_gpu
    assert plan.sequences == 0 or used <= plan.usable_bytes_per_gpu


# Advice


def test_advice_is_silent_where_it_fits() -> None:
    assert advice(make_plan(kat(gpus=2))) == []


def test_one_80_gb_gpu_in_bf16_is_told_of_more_gpus_and_fewer_bits() -> None:
    assert advice(make_plan(kat())) == [
        "2 GPUs (--gpus 2)",
        "weights in fp8 (--dtype fp8)",
        "weights in int4-awq (--dtype int4-awq)",
    ]


def test_too_long_a_context_is_told_the_longest_that_fits() -> None:
    question = kat(weights=WeightPrecision.FP8, context=131_072, max_model_len=131_072)
    longest = make_plan(question).kv_tokens
    assert f"sequences of {longest:,} tokens (--context {longest})" in advice(make_plan(question))
    assert make_plan(replace(question, context=longest, max_model_len=longest)).verdict is Verdict.FITS
    longer = replace(question, context=longest + 1, max_model_len=longest + 1)
    assert make_plan(longer).verdict is Verdict.DOES_NOT_START


def test_a_kv_cache_in_bf16_is_told_of_fp8_where_that_is_enough() -> None:
    full = kat(weights=WeightPrecision.FP8, context=131_072, max_model_len=131_072)
    assert "KV cache in fp8 (--kv-dtype fp8)" in advice(make_plan(full))
    assert make_plan(replace(full, kv=KvPrecision.FP8)).verdict is Verdict.FITS


def test_too_long_a_max_model_len_is_told_the_longest_with_which_vllm_starts() -> None:
    question = kat(weights=WeightPrecision.FP8, max_model_len=131_072)
    longest = make_plan(question).kv_tokens
    assert f"max_model_len {longest}" in advice(make_plan(question))
    assert make_plan(replace(question, max_model_len=longest)).verdict is Verdict.FITS


def test_too_many_sequences_are_told_how_many_fit() -> None:
    plan = make_plan(kat(gpus=2, concurrency=10_000))
    assert f"{plan.sequences} at once (--concurrency {plan.sequences})" in advice(plan)


def test_no_advice_where_nothing_helps() -> None:
    assert advice(plan_of(LLAMA31_405B, gpu=find_gpu("l4-24gb"))) == []
