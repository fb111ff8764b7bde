"""Code of an answer runs in a process of its own, and whatever it does there is only a failed test."""

from __future__ import annotations

import pytest

from kat_training.code_tests import passes


def test_code_that_does_what_its_tests_say_passes() -> None:
    assert passes("def f(x):\n    return x + 1", ("f(1) == 2", "f(0) == 1"))


@pytest.mark.parametrize(
    "code",
    [
        "def f(x):\n    return x",
        "def f(x) return x",
        "raise SystemExit(3)",
        "f = open('file', 'w').write('x' * 10)",
        "f = bytearray(10 ** 10)",
    ],
    ids=["wrong", "no Python", "leaves", "writes a file", "takes all memory"],
)
def test_code_that_fails_in_any_way_does_not_pass(code: str) -> None:
    assert not passes(code, ("f(1) == 2",))


def test_nothing_passes_without_a_test() -> None:
    assert not passes("x = 1", ())
