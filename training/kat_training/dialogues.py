"""Agent dialogues: read an error (off), follow the code (on), read the test report (off)."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from kat.usage_event import Mode
from kat_predictor.autothink.instruction_rule import Decided
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


@dataclass(frozen=True, slots=True)
class Script:
    """A dialogue in one wording: its three questions are format strings."""

    name: str
    language: Language
    questions: tuple[str, str, str]


_FAULTS: Final = {
    "IndexError": ("list index out of range", "print([1, 2][n])"),
    "KeyError": ("no such key", "print({}[n])"),
    "TypeError": ("can only concatenate str", "print('n' + n)"),
    "ZeroDivisionError": ("division by zero", "print(n / 0)"),
    "AttributeError": ("no attribute 'go'", "n.go()"),
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

SCRIPTS: Final = (
    Script("agent-en/0", "en", (
        "line {line}: {error}: {message}\nWhich error is it?",
        "Code:\n{code}\nWhat is n in the last line?",
        "Tests: {passed} passed, {failed} failed. Did all pass?")),
    Script("agent-en/1", "en", (
        "My script stopped at line {line} with {error}: {message}. Name the error.",
        "It runs this:\n{code}\nWhich value has n at the end?",
        "After the fix: {failed} failed, {passed} passed. Is everything green?")),
    Script("agent-en/2", "en", (
        "Log: {error} ({message}), line {line}. What kind of error?",
        "Look at the code and tell me n where it fails:\n{code}",
        "pytest says {passed} passed, {failed} failed. All good?")),
    Script("agent-en/3", "en", (
        "Read this: line {line}, {error}: {message}. What was raised?",
        "{code}\nHow large is n when the last line runs?",
        "The run shows {failed} failed and {passed} passed. Did the tests all pass?")),
    Script("agent-zh/0", "zh", (
        "第{line}行 {error}: {message}\n是什么错误？", "代码：\n{code}\n最后一行的 n 是几？",
        "测试：{passed} 通过，{failed} 失败。全过了吗？答是或否。")),
    Script("agent-zh/1", "zh", (
        "日志：{error}（{message}），第{line}行。错误叫什么？", "{code}\n出错时 n 等于几？",
        "{failed} 失败，{passed} 通过。都通过了吗？答是或否。")),
)  # fmt: skip


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
