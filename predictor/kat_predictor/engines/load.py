"""From a model's name to a running engine."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

import structlog
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

from kat_predictor.engines.attention import GROUPED_ATTENTION
from kat_predictor.engines.base import Engine
from kat_predictor.engines.default_model import BASE_MODEL, DEFAULT_MODEL, base_model, default_model
from kat_predictor.engines.transformers import TransformersEngine

log = structlog.get_logger(__name__)

EngineName = Literal["auto", "transformers", "vllm"]
DtypeName = Literal["auto", "bfloat16", "float16", "float32"]

_BUNDLED: Final = {DEFAULT_MODEL: default_model, BASE_MODEL: base_model}


def load_engine(
    model: str,
    *,
    models_dir: Path,
    engine: EngineName = "auto",
    dtype: DtypeName = "auto",
    trust_remote_code: bool = False,
    progress: Callable[[str], None] = log.info,
    max_model_len: int | None = None,
    max_batch: int = 32,
    max_batch_tokens: int | None = None,
    prefix_cache_tokens: int = 8192,
    engine_arguments: Mapping[str, Any] = MappingProxyType({}),
    stall_seconds: float = 120.0,
) -> Engine:
    """Load a model and start its engine. Blocks for seconds to minutes.

    Args:
        model: `default`, `smollm2-135m-instruct` (the same before it was taught to judge), a checkpoint folder, or a
            name on the Hugging Face Hub.
        models_dir: where the checkpoints of the first two are kept.
        engine: `auto` takes vLLM where it is installed.
        dtype: of the weights; `auto` takes bfloat16 where the device computes in it, float32 elsewhere.
        trust_remote_code: run code that comes with the checkpoint.
        progress: told in a few words what is going on.
        max_model_len: as in `TransformersEngine`, as are those that follow.
        max_batch: sequences computed together.
        max_batch_tokens: capacity of the key-value cache.
        prefix_cache_tokens: tokens kept for prompts to come.
        engine_arguments: any of vLLM's own, by name; vLLM sizes its caches by them, not by the three above.
        stall_seconds: an engine that takes longer for a step counts as hung: its `health` fails.

    Raises:
        DefaultModelError: the default model is not installed, or cannot be made.
        OSError: there is no such checkpoint, or its files are damaged.
        ValueError: the folder holds no checkpoint, or one of a kind that the engine cannot run; or an argument is bad.
        ImportError: the engine is not installed.
        EngineError: the engine did not start.
    """
    chosen = engine if engine != "auto" else "vllm" if importlib.util.find_spec("vllm") else "transformers"
    log.debug("engine chosen", asked=engine, chosen=chosen)
    if not sys.stderr.isatty():
        disable_progress_bar()  # type: ignore[no-untyped-call] # not typed there
    bundled = _BUNDLED.get(model)
    path = model if bundled is None else str(bundled(models_dir, progress=progress))
    progress(f"loading {model}")
    if chosen == "vllm":
        # Takes seconds to import, and is not in every installation.
        from kat_predictor.engines.vllm import VllmEngine  # noqa: PLC0415

        return VllmEngine.load(
            path,
            max_model_len=max_model_len,
            trust_remote_code=trust_remote_code,
            arguments={"max_num_seqs": max_batch, **engine_arguments},
            stall_seconds=stall_seconds,
        )
    if engine_arguments:
        raise ValueError("engine arguments are vLLM's, and the engine is transformers")
    weights, tokenizer = load_checkpoint(path, dtype=dtype, trust_remote_code=trust_remote_code)
    return TransformersEngine(
        weights,
        tokenizer,
        max_model_len=max_model_len,
        max_batch=max_batch,
        max_batch_tokens=max_batch_tokens,
        prefix_cache_tokens=prefix_cache_tokens,
        stall_seconds=stall_seconds,
    )


def load_checkpoint(
    path: str, *, dtype: DtypeName = "auto", trust_remote_code: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Weights on the machine's devices, and the tokenizer. Raises as `load_engine`."""
    if trust_remote_code:
        log.warning("code that comes with the checkpoint will run in this process", checkpoint=path)
    cuda = torch.cuda.is_available()
    local = Path(path).is_dir()
    # First, for what is no checkpoint at all fails here with a clear message.
    config = AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code, local_files_only=local)
    tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code, local_files_only=local)
    model = AutoModelForCausalLM.from_pretrained(
        path,
        config=config,
        dtype=_native_dtype(cuda=cuda) if dtype == "auto" else getattr(torch, dtype),
        # Spreads the layers over all GPUs, and over the CPU what they cannot hold.
        device_map="auto" if cuda else None,
        attn_implementation=GROUPED_ATTENTION,
        trust_remote_code=trust_remote_code,
        local_files_only=local,
    )
    model.train(mode=False)
    return model, tokenizer


def _native_dtype(*, cuda: bool) -> torch.dtype:
    if cuda:
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    # Emulated bfloat16 is slower than float32.
    capabilities = torch.cpu.get_capabilities()
    return torch.bfloat16 if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else torch.float32
