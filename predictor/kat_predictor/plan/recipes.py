"""Reads what a settings file of the predictor asks of vLLM."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from kat_predictor.engines.vllm_arguments import read_engine_arguments
from kat_predictor.plan import fit
from kat_predictor.plan.errors import CannotPlan
from kat_predictor.plan.fit import Question
from kat_predictor.plan.gpus import Gpu
from kat_predictor.plan.models import Model, find_model
from kat_predictor.plan.precision import KvPrecision, WeightPrecision


class EngineArgs(BaseModel):
    """The arguments of vLLM that decide about memory."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    tensor_parallel_size: PositiveInt = 1
    pipeline_parallel_size: PositiveInt = 1
    quantization: str | None = None
    kv_cache_dtype: str = "auto"
    max_model_len: PositiveInt | None = None
    max_num_seqs: PositiveInt = fit.MAX_NUM_SEQS
    max_num_batched_tokens: PositiveInt = fit.MAX_NUM_BATCHED_TOKENS
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] = fit.GPU_MEMORY_UTILIZATION
    enforce_eager: bool = False


class _Settings(BaseModel):
    model_config = ConfigDict(extra="ignore")

    KAT_MODEL: str
    KAT_ENGINE_ARGS: str = "{}"
    KAT_MAX_MODEL_LEN: PositiveInt | None = None
    KAT_MAX_CONCURRENT_REQUESTS: PositiveInt | None = None


def read_recipe(path: Path, gpu: Gpu) -> Question:
    """What a settings file asks of a GPU: lines `KAT_<NAME>=value`, as for `docker run --env-file`.

    Raises:
        CannotPlan: A setting is missing or bad, or asks for something that the planner cannot reckon with.
    """
    try:
        settings = _Settings.model_validate(dotenv_values(path, interpolate=False))
        engine_args = EngineArgs.model_validate(read_engine_arguments(settings.KAT_ENGINE_ARGS))
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg'].lower()}" for fault in error.errors())
        raise CannotPlan(f"{path}: {faults}") from None
    except ValueError as error:
        raise CannotPlan(f"{path}: KAT_ENGINE_ARGS {error}") from None
    if engine_args.pipeline_parallel_size > 1:
        raise CannotPlan(f"{path}: pipeline_parallel_size is not reckoned with, only tensor_parallel_size")
    model = find_model(settings.KAT_MODEL)
    longest = engine_args.max_model_len or settings.KAT_MAX_MODEL_LEN or model.config.context
    return Question(
        model=model.name,
        config=model.config,
        weights=_weights(engine_args, model),
        gpu=gpu,
        gpus=engine_args.tensor_parallel_size,
        context=longest,
        concurrency=settings.KAT_MAX_CONCURRENT_REQUESTS or 1,
        max_model_len=longest,
        kv=_kv(engine_args),
        gpu_memory_utilization=engine_args.gpu_memory_utilization,
        max_num_batched_tokens=engine_args.max_num_batched_tokens,
        max_num_seqs=engine_args.max_num_seqs,
        cuda_graphs=not engine_args.enforce_eager,
    )


def _weights(engine_args: EngineArgs, model: Model) -> WeightPrecision:
    checkpoint = model.weights
    match engine_args.quantization:
        case None:
            return checkpoint
        case "fp8" if checkpoint in {WeightPrecision.BF16, WeightPrecision.FP8}:
            return WeightPrecision.FP8  # vLLM quantises a 16-bit checkpoint layer by layer while it loads
        case "awq" | "awq_marlin" | "auto_awq" if checkpoint is WeightPrecision.INT4_AWQ:
            return checkpoint
        case "gptq" | "gptq_marlin" | "auto_gptq" if checkpoint is WeightPrecision.INT4_GPTQ:
            return checkpoint
        case other:
            raise CannotPlan(f"quantization {other!r} of a checkpoint in {checkpoint} is not known here")


def _kv(engine_args: EngineArgs) -> KvPrecision:
    match engine_args.kv_cache_dtype:
        case "auto" | "bfloat16" | "float16":
            return KvPrecision.BF16
        case "fp8" | "fp8_e4m3" | "fp8_e5m2":
            return KvPrecision.FP8
        case other:
            raise CannotPlan(f"kv_cache_dtype {other!r} is not known here")
