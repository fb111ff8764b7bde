"""Agent dialogues: read an error (off), follow the code (on), read the test report (off)."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from kat.usage_event import Mode
from kat_predictor.autothink.instruction_rule import Decided
from kat_training.dialogue_scripts import SCRIPTS, Script
from kat_training.sample import Check, Language, Message
from kat_training.steps import added, multiplied, written


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
    "en": ("A named error.", "Code to trace.", "Just a report."),
    "zh": ("读错误。", "要跟代码。", "读报告。"),
}
_WORKINGS: Final[dict[Language, tuple[str, str, str]]] = {
    "en": (
        "Asked: the name. Line {line} has failed. It says: {message}. That is the reason. The name of the error is {error}",
        "Line 1: n is {start}. Line 2: {sum}. Line 3: {product}",
        "Asked: did all tests pass. All passed means 0 failed. Failed tests: {failed}. {failed} {sign} 0, so {so} failed",
    ),
    "zh": (
        "问错误名称。第{line}行出错，说明是{message}，名称是{error}",
        "第1行：n是{start}。第2行：{sum}。第3行：{product}",
        "问：全过了吗？失败{failed}个，全过要0个，{failed} {sign} 0",
    ),
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
    read, follow, verify = _JUDGEMENTS[script.language]
    yes, no = _YES_NO[script.language]
    first, second, third = (question.format(**values) for question in script.questions)
    answers = (error, str(total * times), no if failed else yes)
    forms = _WORKINGS[script.language]
    values |= {
        "start": start, "sum": added(start, add), "product": multiplied(total, times),
        "sign": ">" if failed else "=", "so": "some" if failed else "none",
    }  # fmt: skip
    thoughts = tuple(
        written(script.language, answer, form.format(**values)) for form, answer in zip(forms, answers, strict=True)
    )
    return (
        AgentTurn(first, answers[0], thoughts[0], read, Mode.OFF, "text"),
        AgentTurn(second, answers[1], thoughts[1], follow, Mode.ON, "number"),
        AgentTurn(third, answers[2], thoughts[2], verify, Mode.OFF, "text"),
    )


def conversation(turns: tuple[AgentTurn, ...]) -> tuple[Message, ...]:
    """What the model has seen when the last of these turns is its to answer: earlier answers without thoughts."""
    *earlier, last = turns
    messages: list[Message] = []
    for turn in earlier:
        messages += [Message("user", turn.question), Message("assistant", turn.answer)]
    return (*messages, Message("user", last.question))
