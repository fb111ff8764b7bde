"""Arithmetic written out as it is done in the head, one easy step after the other, and what a thought concludes.

A small model is more often right with a carry in two steps than in one: 27 + 8 = 27 + 3 + 5 = 30 + 5 = 35.
"""

from __future__ import annotations

from typing import Final

from kat_training.sample import Language

_TEN: Final = 10
_HUNDRED: Final = 100
_STOPS: Final = (".", "?", "!", "！", "？")


def added(a: int, b: int) -> str:
    """A sum of whole numbers, not negative, as a chain of equations: through the next ten or hundred, or by digits."""
    ones, total = a % _TEN, a + b
    if b > _TEN and ones and b % _TEN:
        tens = b - b % _TEN
        return f"{a} + {b} = {a} + {tens} + {b % _TEN} = {a + tens} + {b % _TEN} = {total}"
    if not ones and a % _HUNDRED and b < _HUNDRED < a % _HUNDRED + b:
        return _through(a, b, _HUNDRED - a % _HUNDRED)
    if b < _TEN < ones + b:
        return _through(a, b, _TEN - ones)
    if a > _TEN and ones and b < _TEN and ones + b < _TEN:
        return f"{a} + {b} = {a - ones} + {ones} + {b} = {a - ones} + {ones + b} = {total}"
    return f"{a} + {b} = {total}"


def taken(a: int, b: int) -> str:
    """A difference that is not negative, as a chain of equations: down to the ten before, or by digits."""
    ones, rest = a % _TEN, a - b
    if b > _TEN and b % _TEN:
        tens = b - b % _TEN
        return f"{a} - {b} = {a} - {tens} - {b % _TEN} = {a - tens} - {b % _TEN} = {rest}"
    if b < _TEN and 0 < ones < b:
        return f"{a} - {b} = {a} - {ones} - {b - ones} = {a - ones} - {b - ones} = {rest}"
    if a > _TEN and 0 < b < ones:
        return f"{a} - {b} = {a - ones} + {ones} - {b} = {a - ones} + {ones - b} = {rest}"
    return f"{a} - {b} = {rest}"


def multiplied(a: int, b: int) -> str:
    """A product, the first factor below 100, as a chain of equations: tens and ones apart."""
    tens, ones = a - a % _TEN, a % _TEN
    if tens and ones:
        return f"{a} * {b} = {tens} * {b} + {ones} * {b} = {tens * b} + {ones * b} = {a * b}"
    return f"{a} * {b} = {a * b}"


def written(language: Language, answer: str, *sentences: str) -> str:
    """A thought of these sentences, which have no full stop of their own, and of the answer at its end."""
    stop = {"en": ". ", "zh": "。"}[language]
    conclusion = {"en": "So the answer is ", "zh": "答案："}[language] + answer
    return stop.join([*sentences, conclusion]) + ("" if answer.endswith(_STOPS) else stop.strip())


def _through(a: int, b: int, gap: int) -> str:
    return f"{a} + {b} = {a} + {gap} + {b - gap} = {a + gap} + {b - gap} = {a + b}"
