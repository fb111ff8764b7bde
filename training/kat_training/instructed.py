"""Questions with an explicit instruction about thinking, in words that the predictor's own detection knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from kat.usage_event import Mode
from kat_predictor.autothink.grammar import FORCED_JUDGEMENT
from kat_predictor.autothink.instruction_rule import Decided
from kat_training.sample import Language, Message, Sample

PHRASES: Final[Mapping[tuple[Language, Decided], tuple[str, ...]]] = MappingProxyType({
    ("en", Mode.OFF): (
        "Answer directly: {}",
        "{} Answer directly.",
        "Do not think, just answer: {}",
        "{} Please answer without thinking.",
        "{} Just give me the answer.",
    ),
    ("en", Mode.ON): (
        "Think step by step: {}",
        "{} Think step by step.",
        "{} Please think carefully before you answer.",
        "Solve this step by step: {}",
        "{} Reason step by step.",
    ),
    ("zh", Mode.OFF): ("不要思考，直接告诉我：{}", "{} 不要思考，直接回答。", "请直接回答：{}", "{} 不用思考，直接给我答案。"),
    ("zh", Mode.ON): ("请一步一步仔细推理：{}", "{} 请一步一步思考。", "请逐步推理：{}", "{} 请仔细思考再回答。"),
})  # fmt: skip


def phrase_groups() -> dict[str, list[str]]:
    """The phrases by what they say, for the split."""
    return {f"{language}-{mode}": list(phrases) for (language, mode), phrases in PHRASES.items()}


def instruct(sample: Sample, mode: Decided, phrase: str) -> Sample:
    """The same question with an instruction. The judge sentence is the one that the server writes in such a case."""
    group = PHRASES[sample.language, mode]
    *before, question = sample.messages
    return replace(
        sample,
        template=f"{sample.template}+{mode}/{group.index(phrase)}",
        mode=mode,
        mode_from="instruction",
        messages=(*before, Message("user", phrase.format(question.content))),
        judgement=FORCED_JUDGEMENT[mode],
    )
