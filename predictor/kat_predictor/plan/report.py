"""A plan as text and as JSON."""

from __future__ import annotations

from typing import Any

from kat_predictor.plan.advice import advice
from kat_predictor.plan.fit import Plan, Verdict
from kat_predictor.plan.precision import KvPrecision, WeightPrecision

_GIB = 1024**3


def as_table(plan: Plan) -> str:
    """Lines for people: one subtraction from the GPU's memory down to the KV cache, then what fits in it."""
    question, gpu = plan.question, plan.question.gpu
    many = question.gpus > 1
    precisions = f"weights {question.weights}, KV cache {question.kv}"
    lines = [
        f"{question.model} ({question.config.model_type}), {precisions}, {question.gpus} x {gpu.title}",
        "",
        _row("parameters", f"{plan.parameters / 1e9:.2f} billion"),
        _row("weights", _gib(plan.weight_bytes), f"{plan.weight_bytes / 1e9:.1f} GB"),
        _row("KV cache of a token", f"{plan.kv_bytes_per_token / 1024:g} KiB"),
        _row(
            "KV cache of the full context",
            _gib(plan.kv_bytes_per_token * question.config.context),
            f"{question.config.context:,} tokens",
        ),
        "",
        "each GPU",
        _row("  memory", _gib(gpu.total_bytes), f"less {_gib(gpu.driver_bytes)} for the driver"),
        _row(
            "  usable", _gib(plan.usable_bytes_per_gpu), f"gpu_memory_utilization {question.gpu_memory_utilization:g}"
        ),
        _row("  - weights", _gib(plan.weight_bytes_per_gpu)),
        _row("  - activations", _gib(plan.reserve.activations), "estimate"),
        _row("  - CUDA context" + (", communication" if many else ""), _gib(plan.reserve.runtime), "estimate"),
        _row("  - CUDA graphs", _gib(plan.reserve.cuda_graphs), "estimate"),
        _row("  = KV cache", _gib(plan.kv_bytes_per_gpu), f"{plan.kv_tokens:,} tokens" + _each(plan)),
        "",
        _row(f"sequences of {question.config.context:,}", f"{plan.full_sequences}", "the model's full context"),
    ]
    if question.max_model_len not in {question.config.context, question.context}:
        fits = plan.sequences_of(question.max_model_len)
        lines.append(_row(f"sequences of {question.max_model_len:,}", f"{fits}", "max_model_len"))
    if question.context != question.config.context or question.concurrency > 1:
        lines.append(_row(f"sequences of {question.context:,}", f"{plan.sequences}", f"{question.concurrency} asked"))
    lines += ["", verdict_line(plan), *(f"  try {change}" for change in advice(plan))]
    lines += [f"note: {note}" for note in notes(plan)]
    return "\n".join(lines)


def as_json(plan: Plan) -> dict[str, Any]:
    """The same for programs; sizes in bytes."""
    question = plan.question
    return {
        "model": question.model,
        "model_type": question.config.model_type,
        "dtype": question.weights,
        "kv_dtype": question.kv,
        "gpu": question.gpu.title,
        "gpus": question.gpus,
        "parameters": plan.parameters,
        "weight_bytes": plan.weight_bytes,
        "kv_bytes_per_token": plan.kv_bytes_per_token,
        "full_context": question.config.context,
        "per_gpu": {
            "memory_bytes": question.gpu.total_bytes,
            "driver_bytes": question.gpu.driver_bytes,
            "gpu_memory_utilization": question.gpu_memory_utilization,
            "usable_bytes": plan.usable_bytes_per_gpu,
            "weight_bytes": plan.weight_bytes_per_gpu,
            "activation_bytes": plan.reserve.activations,
            "runtime_bytes": plan.reserve.runtime,
            "cuda_graph_bytes": plan.reserve.cuda_graphs,
            "kv_bytes": plan.kv_bytes_per_gpu,
            "kv_bytes_per_token": plan.kv_bytes_per_token_per_gpu,
        },
        "kv_tokens": plan.kv_tokens,
        "full_context_sequences": plan.full_sequences,
        "max_model_len": question.max_model_len,
        "context": question.context,
        "concurrency": question.concurrency,
        "sequences": plan.sequences,
        "verdict": plan.verdict,
        "advice": advice(plan),
        "notes": notes(plan),
    }


def verdict_line(plan: Plan) -> str:
    """The answer in one line."""
    question = plan.question
    match plan.verdict:
        case Verdict.FITS:
            return "fits"
        case Verdict.FEWER:
            return f"starts, but only {plan.sequences} of {question.concurrency} sequences fit at once; the others wait"
        case Verdict.DOES_NOT_START if plan.kv_bytes_per_gpu < 0:
            return f"does not fit: {_gib(-plan.kv_bytes_per_gpu)} too little on each GPU, before any KV cache"
        case Verdict.DOES_NOT_START:
            return (
                f"does not start: the KV cache holds {plan.kv_tokens:,} tokens, "
                f"less than one sequence of {question.max_model_len:,}"
            )


def notes(plan: Plan) -> list[str]:
    """What the numbers do not say."""
    question, found = plan.question, []
    if question.config.slides:
        found.append("some layers keep a window of the context only; all are counted as if they kept the whole")
    uses_fp8 = question.weights is WeightPrecision.FP8 or question.kv is KvPrecision.FP8
    if uses_fp8 and question.gpu.fp8 == "weights":
        found.append(f"{question.gpu.title} keeps FP8 but computes in 16 bit: it saves memory, not time")
    return found


def _row(name: str, value: str, remark: str = "") -> str:
    return f"{name:<32}{value:>14}   {remark}".rstrip()


def _each(plan: Plan) -> str:
    share = plan.kv_bytes_per_token_per_gpu
    return f" of {share / 1024:g} KiB" if share != plan.kv_bytes_per_token else ""


def _gib(size: int) -> str:
    return f"{size / _GIB:.2f} GiB"
