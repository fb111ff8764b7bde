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
        "Don't think about it. {}",
        "{}\nNo reasoning please.",
        "Skip the reasoning. {}",
        "Please reply immediately: {}",
        "{} (no thinking needed)",
        "Tell me right away, please: {}",
        "{}\nPlease respond at once.",
        "No need to think about it. {}",
        "{} Don't overthink it.",
        "I want a quick one, so just answer. {}",
        "{}\nYou can skip the chain of thought.",
        "Give me a straight answer: {}",
        "{}\nGo straight to the answer.",
        "Without any reasoning: {}",
        "{} I don't need your reasoning.",
        "only tell me the result: {}",
        "{}\nanswer only",
    ),
    ("en", Mode.ON): (
        "Think step by step: {}",
        "{} Think step by step.",
        "{} Please think carefully before you answer.",
        "Solve this step by step: {}",
        "{} Reason step by step.",
        "Take your time. {}",
        "{}\nShow your reasoning.",
        "Let's think step by step. {}",
        "Please reason carefully: {}",
        "{} Don't rush.",
        "{}\nPlease think hard about it.",
        "Work through this step by step, please: {}",
        "{}\nPlease show me all your steps.",
        "Think it through: {}",
        "{} I want you to think before you answer.",
        "Step by step, please: {}",
        "{}\nYou should think twice.",
        "Could you think out loud? {}",
        "{}\nPlease use careful reasoning.",
        "I'd like care here, so think deeply. {}",
        "{} Show me your work.",
        "carefully think about this one: {}",
    ),
    ("zh", Mode.OFF): (
        "不要思考，直接告诉我：{}",
        "{} 不要思考，直接回答。",
        "请直接回答：{}",
        "{} 不用思考，直接给我答案。",
        "别想太多，{}",
        "{} 马上回答。",
        "无需推理：{}",
        "{} 跳过思考过程。",
        "请立刻告诉我答案：{}",
        "{} 只要答案。",
        "不必分析，{}",
        "{} 请不要推理，直接说结果。",
        "快速回答：{}",
        "{} 不需要思考。",
        "这题用不着推导。{}",
        "{} 直接写答案就好。",
    ),
    ("zh", Mode.ON): (
        "请一步一步仔细推理：{}",
        "{} 请一步一步思考。",
        "请逐步推理：{}",
        "{} 请仔细思考再回答。",
        "先想清楚再回答：{}",
        "{} 请写出推理过程。",
        "请认真想一想：{}",
        "{} 多想想。",
        "分步计算：{}",
        "{} 别急着回答。",
        "好好思考一下：{}",
        "{} 请展示你的思考过程。",
        "让我们一步步来：{}",
        "{} 请深入分析。",
        "请慎重考虑：{}",
        "{} 想好再说。",
    ),
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
