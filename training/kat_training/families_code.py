"""Small code tasks: functions with tests, traces, and bugs to mend."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from kat.usage_event import Mode
from kat_training.family import Family, Problem

_NAMES: Final = ("f", "g", "step", "change", "make", "update", "move", "apply_it")
_OPERATORS: Final = {"plus": "+", "minus": "-", "times": "*"}
_BUGS: Final = (
    ("the larger of a and b", "a if a < b else b", "a if a > b else b", "It takes the smaller one: < must be >.", ("(5, 2) == 5", "(1, 4) == 4")),
    ("the smaller of a and b", "a if a > b else b", "a if a < b else b", "It takes the larger one: > must be <.", ("(5, 2) == 2", "(1, 4) == 1")),
    ("the sum of a and b", "a - b", "a + b", "It subtracts: - must be +.", ("(5, 2) == 7", "(1, 4) == 5")),
    ("the product of a and b", "a + b", "a * b", "It adds: + must be *.", ("(5, 2) == 10", "(1, 4) == 4")),
    ("whether a equals b", "a != b", "a == b", "It is true when they differ: != must be ==.", ("(5, 5) is True", "(1, 4) is False")),
    ("a minus b", "b - a", "a - b", "The order is wrong: a comes first.", ("(5, 2) == 3", "(1, 4) == -3")),
)  # fmt: skip


def _one_step(rng: Random) -> Problem:
    name, word, k = rng.choice(_NAMES), rng.choice(list(_OPERATORS)), rng.randint(2, 20)
    sign = _OPERATORS[word]
    tests = tuple(f"{name}({x}) == {x} {sign} {k}" for x in (0, 3, 10))
    answer = f"def {name}(x):\n    return x {sign} {k}"
    return Problem({"name": name, "what": f"x {word} {k}"}, answer, f"return x {sign} {k}.", tests=tests)


def _two_steps(rng: Random) -> Problem:
    name, k, d = rng.choice(_NAMES), rng.randint(2, 9), rng.randint(2, 9)
    tests = tuple(f"{name}({x}) == max(0, {x} * {k} - {d})" for x in (0, 1, 5, 10))
    working = f"First x * {k}. Then - {d}. Never below 0: max(0, ...)."
    return Problem(
        {"name": name, "k": k, "d": d}, f"def {name}(x):\n    return max(0, x * {k} - {d})", working, tests=tests
    )


def _trace(rng: Random) -> Problem:
    x, add, times, take = rng.randint(1, 9), rng.randint(2, 9), rng.randint(2, 4), rng.randint(1, 5)
    code = f"x = {x}\nx = x + {add}\nx = x * {times}\nx = x - {take}\nprint(x)"
    y, z = x + add, (x + add) * times
    working = f"{x} + {add} = {y}. {y} * {times} = {z}. {z} - {take} = {z - take}."
    return Problem({"code": code}, str(z - take), working)


def _loop(rng: Random) -> Problem:
    start, first, count = rng.randint(0, 5), rng.randint(1, 4), rng.randint(3, 4)
    code = f"s = {start}\nfor i in range({first}, {first + count}):\n    s = s + i\nprint(s)"
    value, steps = start, []
    for i in range(first, first + count):
        steps.append(f"{value} + {i} = {value + i}.")
        value += i
    return Problem({"code": code}, str(value), " ".join(steps))


def _bug(rng: Random) -> Problem:
    name = rng.choice(_NAMES)
    what, wrong, right, reason, calls = rng.choice(_BUGS)
    answer = f"def {name}(a, b):\n    return {right}"
    values = {"what": what, "code": f"def {name}(a, b):\n    return {wrong}", "name": name}
    return Problem(values, answer, reason, tests=tuple(f"{name}{call}" for call in calls))


def _code_family(
    name: str, draw: Callable[[Random], Problem], judgement: str, wordings: tuple[str, ...], *, hard: bool = False
) -> Family:
    return Family(
        name=name,
        kind="code",
        language="zh" if name.endswith("zh") else "en",
        check="number" if name.startswith(("trace", "loop")) else "code",
        difficulty="easy" if draw is _one_step else "hard" if hard else "medium",
        mode=Mode.OFF if draw is _one_step else Mode.ON,
        judgement=judgement,
        draw=draw,
        wordings=wordings,
    )


FAMILIES = (
    _code_family(
        "one-step-en",
        _one_step,
        "A one-line function, no reasoning needed.",
        (
            "Write a Python function {name}(x) that returns {what}.",
            "In Python, define {name}(x) as {what}.",
            "Give a Python function {name} of x with the result {what}.",
        ),
    ),
    _code_family(
        "two-steps-en",
        _two_steps,
        "A function with a bound, reasoning needed.",
        (
            "Write a Python function {name}(x) that multiplies x by {k}, subtracts {d}, and never returns less than 0.",
            "Define {name}(x) in Python: {k} times x minus {d}, but at least 0.",
            "In Python, {name}(x) shall be x times {k} less {d}, with 0 as the lowest result. Write it.",
        ),
    ),
    _code_family(
        "trace-en",
        _trace,
        "Code to follow line by line, reasoning needed.",
        ("What does this print?\n{code}", "Give the output of this Python code:\n{code}", "{code}\nWhat is printed?"),
    ),
    _code_family(
        "trace-zh",
        _trace,
        "要逐行看代码，需要推理。",
        ("这段代码输出什么？\n{code}", "{code}\n输出是几？", "求下面代码的输出：\n{code}"),
    ),
    _code_family(
        "loop-en",
        _loop,
        "A loop to follow, reasoning needed.",
        (
            "What does this loop print?\n{code}",
            "Follow the loop and give its output:\n{code}",
            "{code}\nWhich number is printed?",
        ),
        hard=True,
    ),
    _code_family(
        "bug-en",
        _bug,
        "A bug to find, reasoning needed.",
        (
            "This should return {what}. Fix it.\n{code}",
            "{code}\n{name} must return {what} but does not. Write it correctly.",
            "Mend this function, which is meant to return {what}:\n{code}",
        ),
    ),
)
