"""Bare arithmetic: one step is answered at once, several are written out."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from kat.usage_event import Mode
from kat_training import wordings_arithmetic
from kat_training.family import Family, Problem
from kat_training.sample import Language


def _sum(rng: Random) -> Problem:
    a, b = rng.randint(2, 40), rng.randint(2, 9)
    return Problem({"a": a, "b": b}, str(a + b), f"{a} + {b} = {a + b}.")


def _difference(rng: Random) -> Problem:
    b = rng.randint(2, 9)
    a = b + rng.randint(1, 30)
    return Problem({"a": a, "b": b}, str(a - b), f"{a} - {b} = {a - b}.")


def _comparison(yes: str, no: str) -> Callable[[Random], Problem]:
    def draw(rng: Random) -> Problem:
        a, b = rng.sample(range(2, 100), 2)
        return Problem({"a": a, "b": b}, yes if a > b else no, f"{a} {'>' if a > b else '<'} {b}.")

    return draw


def _bracket(rng: Random) -> Problem:
    a, b, c = rng.randint(2, 12), rng.randint(2, 9), rng.randint(2, 6)
    total = (a + b) * c
    d = rng.randint(2, min(20, total - 1))
    working = f"{a} + {b} = {a + b}. {a + b} * {c} = {total}. {total} - {d} = {total - d}."
    return Problem({"a": a, "b": b, "c": c, "d": d}, str(total - d), working)


def _walk(language: Language) -> Callable[[Random], Problem]:
    """Four or five operations in a row, by words."""
    words = {
        "en": {"+": "add {}", "-": "subtract {}", "*": "multiply by {}", "join": ", "},
        "zh": {"+": "加{}", "-": "减{}", "*": "乘{}", "join": "，"},
    }[language]

    def draw(rng: Random) -> Problem:
        value = start = rng.randint(2, 12)
        said, steps, multiplied = [], [], False
        for _ in range(rng.randint(4, 5)):
            signs = ["+"] + (["-"] if value > 3 else []) + ([] if multiplied or value > 30 else ["*"])  # noqa: PLR2004 - keeps numbers small
            sign = rng.choice(signs)
            by = rng.randint(2, 4) if sign == "*" else rng.randint(2, min(9, value - 1) if sign == "-" else 9)
            multiplied = multiplied or sign == "*"
            after = {"+": value + by, "-": value - by, "*": value * by}[sign]
            said.append(words[sign].format(by))
            steps.append(f"{value} {sign} {by} = {after}.")
            value = after
        return Problem({"start": start, "steps": words["join"].join(said)}, str(value), " ".join(steps))

    return draw


FAMILIES = (
    Family(
        name="sum-en", kind="arithmetic", language="en", check="number", difficulty="easy", mode=Mode.OFF,
        judgement="A single sum, no reasoning needed.", draw=_sum,
        wordings=wordings_arithmetic.SUM_EN,
    ),
    Family(
        name="sum-zh", kind="arithmetic", language="zh", check="number", difficulty="easy", mode=Mode.OFF,
        judgement="一步加法，直接回答。", draw=_sum,
        wordings=wordings_arithmetic.SUM_ZH,
    ),
    Family(
        name="difference-en", kind="arithmetic", language="en", check="number", difficulty="easy", mode=Mode.OFF,
        judgement="A single subtraction, no reasoning needed.", draw=_difference,
        wordings=wordings_arithmetic.DIFFERENCE_EN,
    ),
    Family(
        name="difference-zh", kind="arithmetic", language="zh", check="number", difficulty="easy", mode=Mode.OFF,
        judgement="一步减法，直接回答。", draw=_difference,
        wordings=wordings_arithmetic.DIFFERENCE_ZH,
    ),
    Family(
        name="comparison-en", kind="arithmetic", language="en", check="text", difficulty="easy", mode=Mode.OFF,
        judgement="One comparison, no reasoning needed.", draw=_comparison("Yes", "No"),
        wordings=wordings_arithmetic.COMPARISON_EN,
    ),
    Family(
        name="comparison-zh", kind="arithmetic", language="zh", check="text", difficulty="easy", mode=Mode.OFF,
        judgement="一次比较，直接回答。", draw=_comparison("是", "否"),
        wordings=wordings_arithmetic.COMPARISON_ZH,
    ),
    Family(
        name="bracket-en", kind="arithmetic", language="en", check="number", difficulty="medium", mode=Mode.ON,
        judgement="Several operations, reasoning needed.", draw=_bracket,
        wordings=wordings_arithmetic.BRACKET_EN,
    ),
    Family(
        name="bracket-zh", kind="arithmetic", language="zh", check="number", difficulty="medium", mode=Mode.ON,
        judgement="有几步运算，需要推理。", draw=_bracket,
        wordings=wordings_arithmetic.BRACKET_ZH,
    ),
    Family(
        name="walk-en", kind="arithmetic", language="en", check="number", difficulty="hard", mode=Mode.ON,
        judgement="A chain of operations, reasoning needed.", draw=_walk("en"),
        wordings=wordings_arithmetic.WALK_EN,
    ),
    Family(
        name="walk-zh", kind="arithmetic", language="zh", check="number", difficulty="hard", mode=Mode.ON,
        judgement="有一串运算，需要推理。", draw=_walk("zh"),
        wordings=wordings_arithmetic.WALK_ZH,
    ),
)  # fmt: skip
