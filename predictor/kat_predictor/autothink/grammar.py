"""The output grammar of KAT-V1, and the texts that the server inserts into an assistant turn.

Source: the chat template and model card of Kwaipilot/KAT-V1-40B, and arXiv 2507.08297.

    <judge>
    why this needs reasoning, or not
    </judge>

    <think_on>          or   <think_off>
    <think>                  (no think block)
    reasoning
    </think>

    <answer>
    final answer
    </answer>
"""

from __future__ import annotations

from typing import Final, Literal

from kat.usage_event import Mode

JUDGE_OPEN: Final = "<judge>"
JUDGE_CLOSE: Final = "</judge>"
THINK_ON: Final = "<think_on>"
THINK_OFF: Final = "<think_off>"
THINK_OPEN: Final = "<think>"
THINK_CLOSE: Final = "</think>"
ANSWER_OPEN: Final = "<answer>"
ANSWER_CLOSE: Final = "</answer>"
TAGS: Final = (
    JUDGE_OPEN, JUDGE_CLOSE, THINK_ON, THINK_OFF, THINK_OPEN, THINK_CLOSE, ANSWER_OPEN, ANSWER_CLOSE,
)  # fmt: skip
"""All of them. The default model's tokens are numbered in this order."""

MODE_TAG_STEM: Final = "<think_"
"""What both mode tags begin with; they go on with `on` or `off`."""

ANSWER_BEGINS: Final = f"{ANSWER_OPEN}\n"

FORCED_JUDGEMENT: Final[dict[Literal[Mode.ON, Mode.OFF], str]] = {
    Mode.ON: "This request calls for careful reasoning, so thinking is on.",
    Mode.OFF: "This request can be answered directly, so thinking is off.",
}
"""The judge sentence of a mode that the model did not choose itself. KAT has always seen one before its mode tag."""


def prefill(mode: Literal[Mode.ON, Mode.OFF], judgement: str = "", *, judge_is_open: bool) -> str:
    """The assistant turn up to the place where thinking (on) or the answer (off) begins.

    Args:
        mode: The mode to write down.
        judgement: The judge segment's text; by default a sentence that fits the mode.
        judge_is_open: The prompt itself ends with `<judge>` and a newline, as KAT's own template does.
    """
    opening = "" if judge_is_open else f"{JUDGE_OPEN}\n"
    tag, begins = (THINK_ON, THINK_OPEN) if mode is Mode.ON else (THINK_OFF, ANSWER_OPEN)
    return f"{opening}{judgement or FORCED_JUDGEMENT[mode]}\n{JUDGE_CLOSE}\n\n{tag}\n{begins}\n"
