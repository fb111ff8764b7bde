"""A thought is worth learning from: its equations are true, it ends with the answer, and the judgement is short."""

from __future__ import annotations

import re
from itertools import pairwise
from operator import gt, lt
from random import Random
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kat.usage_event import Mode
from kat_training.catalogue import FAMILIES
from kat_training.dialogue_scripts import SCRIPTS, Script
from kat_training.dialogues import draw_dialogue
from kat_training.family import Family, Problem
from kat_training.sample import NATURAL_JUDGEMENT
from kat_training.steps import added, multiplied, taken, written

_DRAWS: Final = 50
_SIDE: Final = r"-?\d+(?: [-+*/] \d+)*"
_CHAIN: Final = re.compile(rf"{_SIDE}(?: = {_SIDE})+")
_COMPARISON: Final = re.compile(r"(\d+) ([<>]) (\d+)")
_WORDS_OF_A_JUDGEMENT: Final = {"en": (2, 4), "zh": (1, 1)}
"""Tokens of the default model: 3 to 5 in English, 5 to 9 in Chinese."""
_CHINESE_CHARACTERS: Final = 6

few = st.integers(0, 99)
parts = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


def draws(family: Family) -> list[Problem]:
    rng = Random(f"workings {family.name}")
    return [family.draw(rng) for _ in range(_DRAWS)]


def false_claims(text: str) -> list[str]:
    """The equations whose sides differ, and the comparisons that do not hold."""
    chains = [found[0] for found in _CHAIN.finditer(text)]
    unequal = [chain for chain in chains if any(eval(a) != eval(b) for a, b in pairwise(chain.split(" = ")))]
    compared = list(_COMPARISON.finditer(text))
    return unequal + [each[0] for each in compared if not {"<": lt, ">": gt}[each[2]](int(each[1]), int(each[3]))]


def concluded(working: str) -> str:
    """What a thought says at its end."""
    return re.split(r"So the answer is |So return |答案：", working)[-1]


@parts
def test_what_a_working_calculates_is_true(family: Family) -> None:
    assert [claim for problem in draws(family) for claim in false_claims(problem.working)] == []


@parts
def test_a_working_ends_with_the_answer(family: Family) -> None:
    for problem in draws(family):
        due = problem.answer.split("return ")[-1] if family.check == "code" else problem.answer
        assert concluded(problem.working) in {due, f"{due}.", f"{due}。"}


@pytest.mark.parametrize("family", [each for each in FAMILIES if each.mode is Mode.ON], ids=lambda family: family.name)
def test_a_thought_says_more_than_its_answer(family: Family) -> None:
    assert all(len(problem.working) > len(problem.answer) + 30 for problem in draws(family))


@pytest.mark.parametrize("family", [each for each in FAMILIES if each.kind == "arithmetic"], ids=lambda each: each.name)
def test_arithmetic_is_calculated(family: Family) -> None:
    """A regular expression that finds nothing would find every working true."""
    assert all(_CHAIN.search(problem.working) or _COMPARISON.search(problem.working) for problem in draws(family))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_the_thoughts_of_a_dialogue_are_true_and_end_with_the_answers(script: Script) -> None:
    rng = Random(f"workings {script.name}")
    turns = [turn for _ in range(_DRAWS) for turn in draw_dialogue(script, rng)]
    assert [claim for turn in turns for claim in false_claims(turn.working)] == []
    assert all(concluded(turn.working)[:-1] == turn.answer for turn in turns)


@pytest.mark.parametrize(
    ("language", "judgement"),
    [(each.language, each.judgement) for each in FAMILIES]
    + [(script.language, turn.judgement) for script in SCRIPTS for turn in draw_dialogue(script, Random(0))]
    + [(language, judgement) for (language, _), judgement in NATURAL_JUDGEMENT.items()],
)
def test_a_judgement_is_a_few_words(language: str, judgement: str) -> None:
    least, most = _WORDS_OF_A_JUDGEMENT[language]
    assert least <= len(judgement.split()) <= most
    assert language == "en" or len(judgement) <= _CHINESE_CHARACTERS


def test_no_judgement_stands_for_both_modes() -> None:
    by_mode = {
        mode: {each.judgement for each in FAMILIES if each.mode is mode}
        | {judgement for (_, of), judgement in NATURAL_JUDGEMENT.items() if of is mode}
        for mode in (Mode.ON, Mode.OFF)
    }
    assert by_mode[Mode.ON].isdisjoint(by_mode[Mode.OFF])


@given(a=few, b=few)
def test_sums_differences_and_products_are_written_out_rightly(a: int, b: int) -> None:
    claims = [added(a, b), added(10 * a, b), taken(max(a, b), min(a, b)), multiplied(a, b)]
    ends = [a + b, 10 * a + b, abs(a - b), a * b]
    assert [int(claim.split(" = ")[-1]) for claim in claims] == ends
    assert [false_claims(claim) for claim in claims] == [[]] * 4


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        (added(27, 8), "27 + 8 = 27 + 3 + 5 = 30 + 5 = 35"),
        (added(72, 54), "72 + 54 = 72 + 50 + 4 = 122 + 4 = 126"),
        (added(480, 55), "480 + 55 = 480 + 20 + 35 = 500 + 35 = 535"),
        (added(4, 3), "4 + 3 = 7"),
        (taken(32, 8), "32 - 8 = 32 - 2 - 6 = 30 - 6 = 24"),
        (taken(105, 18), "105 - 18 = 105 - 10 - 8 = 95 - 8 = 87"),
        (taken(38, 5), "38 - 5 = 30 + 8 - 5 = 30 + 3 = 33"),
        (multiplied(14, 3), "14 * 3 = 10 * 3 + 4 * 3 = 30 + 12 = 42"),
        (multiplied(7, 6), "7 * 6 = 42"),
    ],
)
def test_what_is_hard_is_done_in_two_steps(claim: str, said: str) -> None:
    assert claim == said


def test_a_false_equation_would_be_found() -> None:
    assert false_claims("Sum: 7 + 5 = 7 + 3 + 2 = 10 + 2 = 13. 9 < 8.") == ["7 + 5 = 7 + 3 + 2 = 10 + 2 = 13", "9 < 8"]


def test_a_thought_has_one_stop_at_its_end() -> None:
    assert written("en", "cd ..", "To go up, type this") == "To go up, type this. So the answer is cd .."
    assert written("zh", "12", "7 + 5 = 12") == "7 + 5 = 12。答案：12。"
