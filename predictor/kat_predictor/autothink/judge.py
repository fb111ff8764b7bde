"""The emulated judge: what a chat model without a judge of its own is asked, before it answers.

Few-shot turns teach it the grammar. It writes one short line of judgement, then its own next-token probabilities of
`on` and `off` after `<think_` decide; a bias on `on` moves the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kat.usage_event import Segment
from kat_predictor.autothink.attribution import Attribution, Delta
from kat_predictor.autothink.grammar import JUDGE_CLOSE, JUDGE_OPEN, MODE_TAG_STEM

MAX_JUDGEMENT_TOKENS: Final = 24
CHOICES: Final = ("on", "off")
ON_BIAS: Final = 0.7
"""Added to the logit of `on`.

Measured on SmolLM2-135M-Instruct in bfloat16, greedily, Chinese and English: chosen on 40 questions (half of them easy;
0.85 of the easy and 0.90 of the hard ones judged right, AUC 0.94), then tried on 40 others (0.85 and 0.85, AUC 0.93).
"""

_CLIP_CHARACTERS: Final = 1_500

_SYSTEM: Final = (
    "Before answering, judge the request. A simple request (a fact, a greeting, a command) is <think_off>. "
    "A complex request (mathematics, code, analysis, several steps) is <think_on>."
)
# Twelve examples of many kinds, easy and hard in turn, each judged by naming its kind. With six examples, and with
# wordings that name no kind, the same model's AUC on the same questions was 0.85 and less.
_EXAMPLES: Final = (
    ("What is the capital of Spain?", "fact", "off"),
    ("A shop sells 3 pens for 2 dollars. How much do 12 pens cost with a 10% discount?", "calculation", "on"),
    ("Thanks, bye!", "greeting", "off"),
    ("Why does this loop never end and how do I fix it? while i < 10: print(i)", "bug", "on"),
    ("Who invented the telephone?", "fact", "off"),
    ("Write a function that sorts a list of numbers.", "code", "on"),
    ("How do I copy a file in Linux?", "command", "off"),
    ("Prove that the sum of two odd numbers is even.", "proof", "on"),
    ("“书”的英文是什么？", "word", "off"),
    ("一件衣服原价200元，打八折后再减30元，现价多少？", "calculation", "on"),
    ("你好，你是谁？", "greeting", "off"),
    ("证明任意两个奇数之和是偶数。", "proof", "on"),
)
_JUDGEMENT: Final = {"off": "A simple {}, no reasoning needed.", "on": "A complex {}, reasoning needed."}


def judge_messages(question: str) -> list[dict[str, str]]:
    """The chat whose next assistant turn judges the question, to be rendered with a generation prompt."""
    messages = [{"role": "system", "content": _SYSTEM}]
    for asked, kind, choice in _EXAMPLES:
        judgement = _JUDGEMENT[choice].format(kind)
        turn = f"{JUDGE_OPEN}\n{judgement}\n{JUDGE_CLOSE}\n\n{MODE_TAG_STEM}{choice}>"
        messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": turn}]
    return [*messages, {"role": "user", "content": _clip(question)}]


def _clip(question: str) -> str:
    """Head and tail of a long question: a task is stated at one of its ends, and the judge has to stay quick."""
    if len(question) <= 2 * _CLIP_CHARACTERS:
        return question
    return f"{question[:_CLIP_CHARACTERS]}\n…\n{question[-_CLIP_CHARACTERS:]}"


class JudgementLine:
    """The judge's one line: from its first character that is no white space up to a newline or a `<`."""

    def __init__(self) -> None:
        self._attribution = Attribution()
        self._text: list[str] = []
        self._tail = ""
        self.complete = False

    @property
    def text(self) -> str:
        return "".join(self._text).strip()

    def feed(self, text: str, tokens: int, marks: Sequence[object] = ()) -> list[Delta]:
        """Take in text and the tokens that made it; what comes after the line is CONTROL."""
        self._attribution.add(text, tokens, marks)
        if self.complete:
            self._tail += text
            self._attribution.classify(Segment.CONTROL, len(text))
            return self._attribution.take()
        begin = 0 if self._text else len(text) - len(text.lstrip())
        end = min((at for at in (text.find("\n", begin), text.find("<", begin)) if at >= 0), default=len(text))
        self.complete = end < len(text)
        if begin < end:
            self._text.append(text[begin:end])
        self._tail = text[end:]
        self._attribution.classify(Segment.CONTROL, begin)
        self._attribution.classify(Segment.JUDGE, end - begin)
        self._attribution.classify(Segment.CONTROL, len(text) - end)
        return self._attribution.take()

    def finish(self) -> list[Delta]:
        self._attribution.settle()
        return self._attribution.take()

    def way_to_choice(self) -> str:
        """The text that leads from what was generated to the place where `on` or `off` comes next."""
        way = f"{JUDGE_CLOSE}\n\n{MODE_TAG_STEM}"
        begun = self._tail.lstrip()
        if self._tail and way.startswith(begun):
            return way.removeprefix(begun)
        return f"\n{way}"
