"""Templates: a family is one kind of problem, and each of its wordings is a template."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from kat_predictor.autothink.instruction_rule import Decided
from kat_training.sample import Check, Difficulty, Language


@dataclass(frozen=True, slots=True)
class Problem:
    """One draw: what fills the wording's places, and the solution."""

    values: Mapping[str, object]
    answer: str
    working: str
    accepted: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Problems of one kind. The same draw serves every wording, so that only the words are new in a held-out one."""

    name: str
    kind: str
    language: Language
    check: Check
    difficulty: Difficulty
    mode: Decided
    """The prior: whether such a problem is worth a thought."""
    judgement: str
    draw: Callable[[Random], Problem]
    wordings: tuple[str, ...]
    """Format strings over a problem's values; at least two, so that one can be held out."""

    def templates(self) -> list[Template]:
        return [Template(f"{self.name}/{number}", self, wording) for number, wording in enumerate(self.wordings)]


@dataclass(frozen=True, slots=True)
class Template:
    """A family in one wording."""

    name: str
    family: Family
    wording: str

    def question(self, problem: Problem) -> str:
        return self.wording.format(**problem.values)
