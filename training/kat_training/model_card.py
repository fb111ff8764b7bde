"""The card of an adapter: what it does, how well, and how it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

_FIGURES: Final = (
    "questions",
    "mode_accuracy",
    "answer_accuracy",
    "answer_accuracy_where_on_is_due",
    "think_on_share",
    "tokens_per_question",
    "instruction_obedience",
    "dialogue_accuracy",
)
_COUNTS: Final = ("questions", "tokens_per_question")

_WHAT: Final = (
    "A LoRA adapter that teaches {base} to judge before it answers, in the grammar of KAT-V1 "
    "([arXiv:2507.08297](https://arxiv.org/abs/2507.08297)): a sentence of judgement, `<think_on>` or `<think_off>`, a "
    "short thought where it is worth one, the answer. It is made by `kat train` from generated questions in English "
    "and Chinese, whose answers are checked; kat-serving adds it to its base's weights and serves that as its default "
    "model."
)
_ASKED: Final = (
    "On held-out templates, greedily, as `kat train eval` prints them: as it judges by itself (`auto`), and forced to "
    "think always and never."
)
_LIMITS: Final = (
    "The model is small, to show auto-think on a machine without a GPU. It learnt short answers to short questions of "
    "few kinds; elsewhere it judges and answers worse than the figures say, and it may state what is false."
)


def model_card(*, base: str, runs: Sequence[Mapping[str, Any]], figures: Mapping[str, Any]) -> str:
    """The card in Markdown.

    Args:
        base: The base model's public name.
        runs: What `run.json` says of each training run, in their order.
        figures: What `kat train eval --json` printed of the result.
    """
    return "\n\n".join([
        f"---\nlicense: apache-2.0\nlanguage: [en, zh]\nbase_model: {base}\nlibrary_name: peft\n---",
        "# An adapter that judges",
        _WHAT.format(base=base),
        "## Figures",
        _ASKED,
        _figures(figures["runs"]),
        "## Training",
        "`training.json` has every option; seeds and versions are fixed.",
        _table(
            ("stage", "steps", "seed", "minutes"),
            [
                (run["asked"]["stage"], run["asked"]["steps"], run["asked"]["seed"], f"{run['seconds'] / 60:.0f}")
                for run in runs
            ],
        ),
        "## Limits",
        _LIMITS,
        "## Licence",
        f"Apache-2.0, as is {base}.",
    ]) + "\n"  # fmt: skip


def _figures(by_mode: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [(name, *(_written(name, run[name]) for run in by_mode.values())) for name in _FIGURES]
    return _table(("", *by_mode), rows)


def _written(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if name in _COUNTS else f"{value:.1%}"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [" | ".join(head), " | ".join("---" for _ in head), *(" | ".join(map(str, row)) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)
