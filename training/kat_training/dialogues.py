"""Agent dialogues: read an error (off), follow the code (on), read the test report (off)."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from kat.usage_event import Mode
from kat_predictor.autothink.instruction_rule import Decided
from kat_training.dialogue_scripts import SCRIPTS, Script
from kat_training.sample import Check, Language, Message


@dataclass(frozen=True, slots=True)
class AgentTurn:
    """One exchange."""

    question: str
    answer: str
    working: str
    judgement: str
    mode: Decided
    check: Check


_FAULTS: Final = {
    "IndexError": ("list index out of range", "print([1, 2][n])"),
    "KeyError": ("no such key", "print({}[n])"),
    "TypeError": ("can only concatenate str", "print('n' + n)"),
    "ZeroDivisionError": ("division by zero", "print(n / 0)"),
    "AttributeError": ("no attribute 'go'", "n.go()"),
    "ValueError": ("invalid literal for int()", "int('n' * n)"),
    "NameError": ("name 'm' is not defined", "print(n + m)"),
    "FileNotFoundError": ("no such file", "open(f'{n}.txt')"),
    "AssertionError": ("n is not 0", "assert n == 0"),
    "ModuleNotFoundError": ("no module named 'nn'", "import nn"),
    "TimeoutError": ("timed out", "raise TimeoutError(n)"),
    "RuntimeError": ("wrong state", "raise RuntimeError(n)"),
    "StopIteration": ("no more items", "next(iter([]))"),
}
_JUDGEMENTS: Final[dict[Language, tuple[str, str, str]]] = {
    "en": (
        "The error is named, no reasoning needed.",
        "Code to follow line by line, reasoning needed.",
        "A report to read, no reasoning needed.",
    ),
    "zh": ("错误已写明，直接回答。", "要逐行看代码，需要推理。", "看报告即可，直接回答。"),
}
_YES_NO: Final[dict[Language, tuple[str, str]]] = {"en": ("Yes", "No"), "zh": ("是", "否")}


def script_groups() -> dict[str, list[str]]:
    """The scripts by language, for the split."""
    return {
        f"agent-{language}": [script.name for script in SCRIPTS if script.language == language]
        for language in ("en", "zh")
    }


def draw_dialogue(script: Script, rng: Random) -> tuple[AgentTurn, AgentTurn, AgentTurn]:
    """One dialogue: off, on, off."""
    error = rng.choice(list(_FAULTS))
    message, failing = _FAULTS[error]
    start, add, times = rng.randint(1, 9), rng.randint(2, 9), rng.randint(2, 4)
    passed, failed = rng.randint(2, 40), rng.choice((0, 0, 0, 1, 2))
    values = {
        "line": rng.randint(3, 90), "error": error, "message": message, "passed": passed, "failed": failed,
        "total": passed + failed,
        "code": f"n = {start}\nn = n + {add}\nn = n * {times}\n{failing}",
    }  # fmt: skip
    total = start + add
    working = f"{start} + {add} = {total}. {total} * {times} = {total * times}."
    read, follow, verify = _JUDGEMENTS[script.language]
    yes, no = _YES_NO[script.language]
    first, second, third = (question.format(**values) for question in script.questions)
    return (
        AgentTurn(first, error, f"{error}.", read, Mode.OFF, "text"),
        AgentTurn(second, str(total * times), working, follow, Mode.ON, "number"),
        AgentTurn(third, no if failed else yes, f"{failed} failed.", verify, Mode.OFF, "text"),
    )


def conversation(turns: tuple[AgentTurn, ...]) -> tuple[Message, ...]:
    """What the model has seen when the last of these turns is its to answer: earlier answers without thoughts."""
    *earlier, last = turns
    messages: list[Message] = []
    for turn in earlier:
        messages += [Message("user", turn.question), Message("assistant", turn.answer)]
    return (*messages, Message("user", last.question))
