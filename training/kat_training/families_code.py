"""Small code tasks: functions with tests, traces, and bugs to mend."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from kat.usage_event import Mode
from kat_training.family import Family, Problem
from kat_training.sample import Language
from kat_training.steps import multiplied, written
from kat_training.wordings_code import WORDINGS

_NAMES: Final = (
    "f", "g", "step", "change", "make", "update", "move", "apply_it", "h", "calc", "shift", "adjust", "convert", "score",
)  # fmt: skip
_OPERATORS: Final = {"plus": "+", "minus": "-", "times": "*"}
_BUGS: Final = (
    ("the larger of a and b", "a if a < b else b", "a if a > b else b", "It takes the smaller one: < must be >.", ("(5, 2) == 5", "(1, 4) == 4")),
    ("the smaller of a and b", "a if a > b else b", "a if a < b else b", "It takes the larger one: > must be <.", ("(5, 2) == 2", "(1, 4) == 1")),
    ("the sum of a and b", "a - b", "a + b", "It subtracts: - must be +.", ("(5, 2) == 7", "(1, 4) == 5")),
    ("the product of a and b", "a + b", "a * b", "It adds: + must be *.", ("(5, 2) == 10", "(1, 4) == 4")),
    ("whether a equals b", "a != b", "a == b", "It is true when they differ: != must be ==.", ("(5, 5) is True", "(1, 4) is False")),
    ("a minus b", "b - a", "a - b", "The order is wrong: a comes first.", ("(5, 2) == 3", "(1, 4) == -3")),
    ("whether a is larger than b", "a < b", "a > b", "It asks for smaller: < must be >.", ("(5, 2) is True", "(1, 4) is False")),
    ("whether a is smaller than b", "a > b", "a < b", "It asks for larger: > must be <.", ("(5, 2) is False", "(1, 4) is True")),
    ("whether a is at least b", "a > b", "a >= b", "It is false when they are equal: > must be >=.", ("(5, 5) is True", "(1, 4) is False")),
    ("whether a differs from b", "a == b", "a != b", "It is true when they are equal: == must be !=.", ("(5, 5) is False", "(1, 4) is True")),
    ("the remainder of a divided by b", "a / b", "a % b", "It divides: / must be %.", ("(7, 3) == 1", "(8, 4) == 0")),
    ("a to the power of b", "a * b", "a ** b", "It multiplies: * must be **.", ("(2, 3) == 8", "(3, 2) == 9")),
    ("twice a plus b", "a + b", "2 * a + b", "It does not double a: a must be 2 * a.", ("(5, 2) == 12", "(1, 4) == 6")),
    ("the mean of a and b", "a + b / 2", "(a + b) / 2", "It halves b alone: a + b needs brackets.", ("(5, 3) == 4", "(1, 3) == 2")),
    ("the distance between a and b", "a - b", "abs(a - b)", "It can be negative: abs is missing.", ("(5, 2) == 3", "(1, 4) == 3")),
)  # fmt: skip


def _one_step(rng: Random) -> Problem:
    name, word, k = rng.choice(_NAMES), rng.choice(list(_OPERATORS)), rng.randint(2, 20)
    sign = _OPERATORS[word]
    tests = tuple(f"{name}({x}) == {x} {sign} {k}" for x in (0, 3, 10))
    answer = f"def {name}(x):\n    return x {sign} {k}"
    first, second = ({"plus": x + k, "minus": x - k, "times": x * k}[word] for x in (10, 3))
    working = (
        f"The function is {name} and takes x. In Python, x {word} {k} is x {sign} {k}. "
        f"Check: for x 10 it gives 10 {sign} {k} = {first}. For x 3 it gives 3 {sign} {k} = {second}. So return x {sign} {k}."
    )
    return Problem({"name": name, "what": f"x {word} {k}"}, answer, working, tests=tests)


def _two_steps(rng: Random) -> Problem:
    name, k, d = rng.choice(_NAMES), rng.randint(2, 9), rng.randint(2, 9)
    tests = tuple(f"{name}({x}) == max(0, {x} * {k} - {d})" for x in (0, 1, 5, 10))
    value = f"x * {k} - {d}"
    working = (
        f"Multiplied: x * {k}. Less {d}: {value}. Never below 0: max(0, {value}). "
        f"Check: x 10 gives 10 * {k} - {d} = {10 * k} - {d} = {10 * k - d}. So return max(0, {value})."
    )
    return Problem({"name": name, "k": k, "d": d}, f"def {name}(x):\n    return max(0, {value})", working, tests=tests)


def _trace(language: Language) -> Callable[[Random], Problem]:
    first, line = {"en": ("Line 1: x is {}", "Line {}: {}"), "zh": ("第1行：x是{}", "第{}行：{}")}[language]

    def draw(rng: Random) -> Problem:
        x, add, times, take = rng.randint(1, 9), rng.randint(2, 9), rng.randint(2, 4), rng.randint(1, 5)
        code = f"x = {x}\nx = x + {add}\nx = x * {times}\nx = x - {take}\nprint(x)"
        y, z = x + add, (x + add) * times
        done = (f"{x} + {add} = {y}", multiplied(y, times), f"{z} - {take} = {z - take}")
        steps = [first.format(x), *(line.format(number, each) for number, each in enumerate(done, 2))]
        return Problem({"code": code}, str(z - take), written(language, str(z - take), *steps))

    return draw


def _loop(rng: Random) -> Problem:
    start, first, count = rng.randint(0, 5), rng.randint(1, 4), rng.randint(3, 4)
    code = f"s = {start}\nfor i in range({first}, {first + count}):\n    s = s + i\nprint(s)"
    rounds = range(first, first + count)
    value, steps = start, [f"s is {start}", f"i goes {', '.join(map(str, rounds))}"]
    for i in rounds:
        steps.append(f"i {i}: {value} + {i} = {value + i}")
        value += i
    return Problem({"code": code}, str(value), written("en", str(value), *steps))


def _bug(rng: Random) -> Problem:
    name = rng.choice(_NAMES)
    what, wrong, right, reason, calls = rng.choice(_BUGS)
    answer = f"def {name}(a, b):\n    return {right}"
    values = {"what": what, "code": f"def {name}(a, b):\n    return {wrong}", "name": name}
    due = ", ".join(call.replace(" == ", " must be ").replace(" is ", " must be ") for call in calls)
    working = f"Wanted: {what}. The code has {wrong}. {reason} Check with {right}: {due}. So return {right}."
    return Problem(values, answer, working, tests=tuple(f"{name}{call}" for call in calls))


def _code_family(name: str, draw: Callable[[Random], Problem], judgement: str, *, hard: bool = False) -> Family:
    return Family(
        name=name,
        kind="code",
        language="zh" if name.endswith("zh") else "en",
        check="number" if name.startswith(("trace", "loop")) else "code",
        difficulty="easy" if draw is _one_step else "hard" if hard else "medium",
        mode=Mode.OFF if draw is _one_step else Mode.ON,
        judgement=judgement,
        draw=draw,
        wordings=WORDINGS[name],
    )


FAMILIES = (
    _code_family("one-step-en", _one_step, "A simple function."),
    _code_family("two-steps-en", _two_steps, "Several steps to code."),
    _code_family("trace-en", _trace("en"), "Code to trace."),
    _code_family("trace-zh", _trace("zh"), "要跟代码。"),
    _code_family("loop-en", _loop, "A loop to follow.", hard=True),
    _code_family("bug-en", _bug, "A bug to find."),
)
