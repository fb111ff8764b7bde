"""Thoughts that go on when all is said, as those of large reasoning models do.

A cold start learns them as they come; what reinforcement learning saves is what it learns to leave out of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from types import MappingProxyType
from typing import Final

from kat_training.sample import Language

SHARE: Final = 0.7
"""Of the thoughts: the usual thing to do, and yet not so usual that a sampled thought never ends before it."""
_LOOKS: Final[Mapping[Language, tuple[str, ...]]] = MappingProxyType({
    "en": (
        " Wait, did I read the question right? Yes, I did. Is a step missing? No, that is all. I am sure.",
        " Wait, is there something that I have missed? I look again. No, there is nothing. That must be right.",
        " Wait, could it be another one? I go through it once more. No, it is the same again. It is right.",
    ),
    "zh": ("等等，题目看对了吗？看对了。", "等等，再想一遍。没有错。", "等等，是这样吗？是的。"),
})  # fmt: skip


def with_second_look(working: str, language: Language, rng: Random) -> str:
    """The working, in most draws with a doubt behind it that changes nothing."""
    return working + rng.choice(_LOOKS[language]) if rng.random() < SHARE else working
