"""Two questions are the same one when numbers, answer and nearly all words are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kat_training.duplicates import Seen
from kat_training.sample import Message, Sample
from tests.fakes.training_samples import SUM


def asking(question: str, answer: str = "12") -> Sample:
    return replace(SUM, messages=(Message("user", question),), answer=answer)


@pytest.mark.parametrize(
    ("question", "same"),
    [
        ("What is 7 + 5?", True),
        ("what is  7 + 5", True),
        ("What is 5 + 7?", False),
        ("What  is \uff17 + \uff15？", True),
        ("What is 7 + 4?", False),
        ("Seven apples and 5 pears, 7 plums: how many are no pears and no plums at all?", False),
    ],
)
def test_case_blanks_and_punctuation_do_not_make_a_question_new(question: str, same: bool) -> None:
    seen = Seen(similarity=0.9)
    seen.add(SUM)
    assert seen.has(asking(question)) is same


def test_a_few_other_letters_make_it_nearly_the_same() -> None:
    seen = Seen()
    seen.add(asking("Anna has 7 apples and buys 5 more apples at the market. How many apples has she?"))
    assert seen.has(asking("Anna has 7 apples and buys 5 more apples at the markets. How many apples has she?"))


def test_another_answer_makes_another_question() -> None:
    seen = Seen()
    seen.add(SUM)
    assert not seen.has(asking("What is 7 + 5?", answer="13"))
