"""What to change where a plan does not fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from kat_predictor.plan.errors import CannotPlan
from kat_predictor.plan.fit import GPUS_OF_A_NODE, Plan, Question, Verdict, make_plan, tensor_parallel_sizes
from kat_predictor.plan.precision import KvPrecision, WeightPrecision

_WORTH_SAYING: Final = 1_024
"""Tokens below which a shorter context is no help."""


def advice(plan: Plan) -> list[str]:
    """Changes of one thing each, every one of which makes it fit; empty where it fits already or nothing helps."""
    if plan.verdict is Verdict.FITS:
        return []
    return [words for words, question in _changes(plan) if _fits(question)]


def _changes(plan: Plan) -> Iterator[tuple[str, Question]]:
    question = plan.question
    sizes = tensor_parallel_sizes(question.config, question.weights, at_most=GPUS_OF_A_NODE)
    more = (n for n in sizes if n > question.gpus)
    enough = next((n for n in more if _fits(replace(question, gpus=n))), None)
    if enough is not None:
        yield f"{enough} GPUs (--gpus {enough})", replace(question, gpus=enough)
    if question.weights is WeightPrecision.BF16:
        for precision in (WeightPrecision.FP8, WeightPrecision.INT4_AWQ):
            yield from _smaller_weights(question, precision)
    if question.kv is KvPrecision.BF16:
        yield "KV cache in fp8 (--kv-dtype fp8)", replace(question, kv=KvPrecision.FP8)
    shorter = _shorter(plan)
    if shorter is not None:
        yield f"sequences of {shorter.context:,} tokens (--context {shorter.context})", shorter
    if question.context <= plan.kv_tokens < question.max_model_len:
        yield f"max_model_len {plan.kv_tokens}", replace(question, max_model_len=plan.kv_tokens)
    if question.max_model_len <= plan.kv_tokens and 0 < plan.sequences < question.concurrency:
        yield (
            f"{plan.sequences} at once (--concurrency {plan.sequences})",
            replace(question, concurrency=plan.sequences),
        )


def _smaller_weights(question: Question, precision: WeightPrecision) -> Iterator[tuple[str, Question]]:
    smaller = replace(question, weights=precision)
    words, options = f"weights in {precision}", f"--dtype {precision}"
    try:
        shorter = None if _fits(smaller) else _shorter(make_plan(smaller))
    except CannotPlan:
        return
    if shorter is None:
        yield f"{words} ({options})", smaller
    else:
        tokens = shorter.context
        yield f"{words} and sequences of {tokens:,} tokens ({options} --context {tokens})", shorter


def _shorter(plan: Plan) -> Question | None:
    """The same with the longest sequences of which as many fit as were asked; None where that is no help."""
    question, tokens = plan.question, plan.longest_context
    if not _WORTH_SAYING <= tokens < question.context:
        return None
    return replace(question, context=tokens, max_model_len=min(question.max_model_len, plan.kv_tokens))


def _fits(question: Question) -> bool:
    try:
        return make_plan(question).verdict is Verdict.FITS
    except CannotPlan:
        return False  # a change that makes no sense here, such as a precision that cannot be cut for these GPUs
