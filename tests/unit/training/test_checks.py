"""Answers are compared by what they say, and listing every possible answer does not help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from kat_training.checks import code_of, is_right
from kat_training.sample import Check
from tests.fakes.training_samples import SUM, never_run


@pytest.mark.parametrize(
    ("check", "reference", "answer", "right"),
    [
        ("number", "12", "12", True),
        ("number", "12", "The answer is 12.", True),
        ("number", "12", "7 + 5 = 12", True),
        ("number", "1200", "1,200 metres", True),
        ("number", "12", "12.0", True),
        ("number", "12", "12 or 13", False),
        ("number", "12", "112", False),
        ("number", "12", "twelve", False),
        ("number", "-3", "-3", True),
        ("number", "12", "\uff11\uff12", True),
        ("text", "Paris", "paris.", True),
        ("text", "Paris", "It is Paris", True),
        ("text", "Paris", "Paris is the capital", False),
        ("text", "Paris", "Unparis", False),
        ("text", "Paris", "Paris, Rome, Berlin", False),
        ("text", "git status", "`git status`", True),
        ("text", "11:15", "At 11:15.", True),
        ("text", "北京", "首都是北京。", True),
        ("text", "是", "否", False),
        ("list", "2, 4, 7", "2, 4, 7", True),
        ("list", "2, 4, 7", "[2, 4, 7]", True),
        ("list", "2, 4, 7", "2, 4 and 7.", True),
        ("list", "2, 4, 7", "2、4、7。", True),
        ("list", "2, 4, 7", "2, 7, 4", False),
        ("list", "2, 4, 7", "2, 4", False),
    ],
)
def test_an_answer_is_right_by_its_check(check: Check, reference: str, answer: str, right: bool) -> None:
    sample = replace(SUM, check=check, answer=reference)
    assert is_right(sample, answer, never_run) is right


def test_another_accepted_answer_is_as_good() -> None:
    sample = replace(SUM, check="text", answer="conda create -n demo", accepted=("conda create --name demo",))
    assert is_right(sample, "conda create --name demo", never_run)


def test_a_keyword_anywhere_is_enough() -> None:
    sample = replace(SUM, check="keyword", answer="Hello Anna!", accepted=("hello",))
    assert is_right(sample, "Well, hello there", never_run)


def test_an_empty_answer_is_never_right() -> None:
    assert not is_right(replace(SUM, check="keyword", accepted=("",)), "  ", never_run)


def test_code_is_handed_to_its_tests_without_its_fence() -> None:
    ran: list[tuple[str, Sequence[str]]] = []

    def run_tests(code: str, tests: Sequence[str]) -> bool:
        ran.append((code, tests))
        return True

    sample = replace(SUM, check="code", tests=("f(1) == 2",))
    assert is_right(sample, "Here:\n```python\ndef f(x):\n    return x + 1\n```", run_tests)
    assert ran == [("def f(x):\n    return x + 1\n", ("f(1) == 2",))]


def test_code_without_a_fence_is_taken_whole() -> None:
    assert code_of("def f(): return 1") == "def f(): return 1"
