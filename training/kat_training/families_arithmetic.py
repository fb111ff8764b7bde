"""Bare arithmetic: one step is answered at once, several are written out."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from kat.usage_event import Mode
from kat_training import wordings_arithmetic
from kat_training.family import Family, Problem
from kat_training.sample import Language
from kat_training.steps import added, multiplied, taken, written


def _sum(language: Language) -> Callable[[Random], Problem]:
    def draw(rng: Random) -> Problem:
        a, b = rng.randint(2, 40), rng.randint(2, 9)
        given, check = {"en": (f"Given {a} and {b}", "Check: "), "zh": (f"已知{a}和{b}", "验算：")}[language]
        working = written(language, str(a + b), given, added(a, b), f"{check}{a + b} - {b} = {a}")
        return Problem({"a": a, "b": b}, str(a + b), working)

    return draw


def _difference(language: Language) -> Callable[[Random], Problem]:
    def draw(rng: Random) -> Problem:
        b = rng.randint(2, 9)
        a = b + rng.randint(1, 30)
        given, check = {"en": (f"From {a} take {b}", "Check: "), "zh": (f"{a}减{b}", "验算：")}[language]
        working = written(language, str(a - b), given, taken(a, b), f"{check}{a - b} + {b} = {a}")
        return Problem({"a": a, "b": b}, str(a - b), working)

    return draw


def _comparison(language: Language) -> Callable[[Random], Problem]:
    """Digit by digit, as the words for it differ between the languages."""
    yes, no = {"en": ("Yes", "No"), "zh": ("是", "否")}[language]

    def draw(rng: Random) -> Problem:
        a, b = rng.sample(range(2, 100), 2)
        answer = yes if a > b else no
        sign, at = ">" if a > b else "<", 0 if a // 10 != b // 10 else 1
        (tens_a, ones_a), (tens_b, ones_b) = divmod(a, 10), divmod(b, 10)
        digits = (tens_a, tens_b) if at == 0 else (ones_a, ones_b)
        places = {
            "en": (f"Given {a} and {b}. Is {a} larger than {b}? Tens: {tens_a} and {tens_b}", ". ", f", the same. Ones: {ones_a} and {ones_b}. "),
            "zh": (f"已知{a}和{b}。{a}比{b}大吗？十位{tens_a}和{tens_b}", "，", f"相同，个位{ones_a}和{ones_b}，"),
        }[language]  # fmt: skip
        so = {"en": ". So ", "zh": "，所以"}[language]
        compared = f"{places[0]}{places[1 + at]}{digits[0]} {sign} {digits[1]}{so}{a} {sign} {b}"
        larger = {"en": f"The larger number is {max(a, b)}", "zh": f"{max(a, b)}更大"}[language]
        return Problem({"a": a, "b": b}, answer, written(language, answer, compared, larger))

    return draw


def _bracket(language: Language) -> Callable[[Random], Problem]:
    first, times, less = {"en": ("Sum: ", "Times: ", "Less: "), "zh": ("和：", "乘：", "减：")}[language]

    def draw(rng: Random) -> Problem:
        a, b, c = rng.randint(2, 12), rng.randint(2, 9), rng.randint(2, 6)
        total = (a + b) * c
        d = rng.randint(2, min(20, total - 1))
        steps = (
            f"{first}{a} + {b} = {a + b}",
            times + multiplied(a + b, c),
            less + taken(total, d),
        )
        working = written(language, str(total - d), *steps)
        return Problem({"a": a, "b": b, "c": c, "d": d}, str(total - d), working)

    return draw


def _walk(language: Language) -> Callable[[Random], Problem]:
    """Four or five operations in a row, by words."""
    words = {
        "en": {"+": "add {}", "-": "subtract {}", "*": "multiply by {}", "join": ", ", "start": "Start: "},
        "zh": {"+": "加{}", "-": "减{}", "*": "乘{}", "join": "，", "start": "开始："},
    }[language]

    def draw(rng: Random) -> Problem:
        value = start = rng.randint(2, 12)
        said, steps, multiplied_once = [], [f"{words['start']}{start}"], False
        for _ in range(rng.randint(4, 5)):
            signs = ["+"] + (["-"] if value > 3 else []) + ([] if multiplied_once or value > 30 else ["*"])  # noqa: PLR2004 - keeps numbers small
            sign = rng.choice(signs)
            by = rng.randint(2, 4) if sign == "*" else rng.randint(2, min(9, value - 1) if sign == "-" else 9)
            multiplied_once = multiplied_once or sign == "*"
            after = {"+": value + by, "-": value - by, "*": value * by}[sign]
            said.append(words[sign].format(by))
            steps.append(multiplied(value, by) if sign == "*" else f"{value} {sign} {by} = {after}")
            value = after
        values = {"start": start, "steps": words["join"].join(said)}
        return Problem(values, str(value), written(language, str(value), *steps))

    return draw


FAMILIES = (
    Family(
        name="sum-en", kind="arithmetic", language="en", check="number", difficulty="easy", mode=Mode.OFF,
        judgement="Just a sum.", draw=_sum("en"),
        wordings=wordings_arithmetic.SUM_EN,
    ),
    Family(
        name="sum-zh", kind="arithmetic", language="zh", check="number", difficulty="easy", mode=Mode.OFF,
        judgement="一步加法。", draw=_sum("zh"),
        wordings=wordings_arithmetic.SUM_ZH,
    ),
    Family(
        name="difference-en", kind="arithmetic", language="en", check="number", difficulty="easy", mode=Mode.OFF,
        judgement="Just a difference.", draw=_difference("en"),
        wordings=wordings_arithmetic.DIFFERENCE_EN,
    ),
    Family(
        name="difference-zh", kind="arithmetic", language="zh", check="number", difficulty="easy", mode=Mode.OFF,
        judgement="一步减法。", draw=_difference("zh"),
        wordings=wordings_arithmetic.DIFFERENCE_ZH,
    ),
    Family(
        name="comparison-en", kind="arithmetic", language="en", check="text", difficulty="easy", mode=Mode.OFF,
        judgement="Just a comparison.", draw=_comparison("en"),
        wordings=wordings_arithmetic.COMPARISON_EN,
    ),
    Family(
        name="comparison-zh", kind="arithmetic", language="zh", check="text", difficulty="easy", mode=Mode.OFF,
        judgement="一比就知。", draw=_comparison("zh"),
        wordings=wordings_arithmetic.COMPARISON_ZH,
    ),
    Family(
        name="bracket-en", kind="arithmetic", language="en", check="number", difficulty="medium", mode=Mode.ON,
        judgement="Several operations.", draw=_bracket("en"),
        wordings=wordings_arithmetic.BRACKET_EN,
    ),
    Family(
        name="bracket-zh", kind="arithmetic", language="zh", check="number", difficulty="medium", mode=Mode.ON,
        judgement="要算几步。", draw=_bracket("zh"),
        wordings=wordings_arithmetic.BRACKET_ZH,
    ),
    Family(
        name="walk-en", kind="arithmetic", language="en", check="number", difficulty="hard", mode=Mode.ON,
        judgement="A long chain.", draw=_walk("en"),
        wordings=wordings_arithmetic.WALK_EN,
    ),
    Family(
        name="walk-zh", kind="arithmetic", language="zh", check="number", difficulty="hard", mode=Mode.ON,
        judgement="要连算。", draw=_walk("zh"),
        wordings=wordings_arithmetic.WALK_ZH,
    ),
)  # fmt: skip
