"""What the rules of both languages share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kat.usage_event import Mode

Decided = Literal[Mode.ON, Mode.OFF]


@dataclass(frozen=True, slots=True)
class Rule:
    """A phrase that asks for a mode."""

    mode: Decided
    phrase: re.Pattern[str]
    about_form: bool = False
    """It speaks of what the answer should look like, and only hints at the mode."""


@dataclass(frozen=True, slots=True)
class Found:
    """An instruction, and where in its clause it ends."""

    mode: Decided
    end: int
    about_form: bool


def rule(mode: Decided, phrases: Sequence[str], *, about_form: bool = False) -> Rule:
    """A rule of several alternative phrases."""
    return Rule(mode, re.compile("|".join(phrases)), about_form)


def opposite(mode: Decided) -> Decided:
    return Mode.OFF if mode is Mode.ON else Mode.ON


_NEAR = 200
CONTENT = "\ufffc"
"""Stands where content was taken out, so that an instruction beside it is not taken to stand alone."""


def words_before(clause: str, match: re.Match[str]) -> str:
    """What stands before a phrase in its clause; of a very long clause, what stands near."""
    start = max(0, match.start() - _NEAR)
    return ((f"{CONTENT} " if start else "") + clause[start : match.start()]).strip()
