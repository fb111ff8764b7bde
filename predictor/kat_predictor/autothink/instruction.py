"""An explicit instruction about thinking in the words of the user, Chinese or English.

A wrong find overrules the model's own judge, so a phrase counts only where it is said to the assistant. Code,
quotations and text handed over for translation and the like are content and are not read. The last instruction wins;
a wish about the form of the output ("only the final answer") counts where there is nothing more explicit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from kat_predictor.autothink import instruction_chinese, instruction_english
from kat_predictor.autothink.instruction_rule import CONTENT, Decided, Found

_EDGE: Final = 4_000
"""Characters read at each end of a long message: instructions stand at its beginning or its end."""

_CODE: Final = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)|^[ \t]*>[^\n]*", re.DOTALL | re.MULTILINE)
_QUOTED: Final = re.compile(
    r"""`[^`\n]*`|"[^"\n]*"|(?<!\w)'[^'\n]*'(?!\w)|“[^“”\n]*”|(?<!\w)\u2018[^\u2018\u2019\n]*\u2019(?!\w)|「[^「」\n]*」|『[^『』\n]*』|《[^《》\n]*》"""
)
_HANDED_OVER: Final = re.compile(
    r"(?:\b(?:translat|summari[sz]|rewrit|rephras|paraphras|proofread|classif)\w*|\b(?:said|says|titled|phrase|sentence)\b"
    r"|翻译|改写|润色|总结|概括|缩写|扩写|校对|他说|她说|标题|句子|这句话)[^:：\n]{0,60}[:：]",
    re.IGNORECASE,
)
_CLAUSE: Final = re.compile(r"[^.!?;:,()\[\]*#|•\n。！？；：，、（）—…]+")


def explicit_instruction(text: str) -> Decided | None:
    """What the last user message says about thinking, if anything. Time is linear in the length of the text."""
    text = _CODE.sub(f"\n{CONTENT}\n", text)
    if len(text) > 2 * _EDGE:
        text = f"{text[:_EDGE]}\n{CONTENT}\n{text[-_EDGE:]}"
    text = _QUOTED.sub(CONTENT, text.replace("\u2019", "'") if "\u2018" not in text else text)
    if handed_over := _HANDED_OVER.search(text):
        text = text[: handed_over.end()]
    found = list(_instructions(text))
    explicit = [find.mode for find in found if not find.about_form]
    modes = explicit or [find.mode for find in found]
    return modes[-1] if modes else None


def _instructions(text: str) -> Iterator[Found]:
    for clause in _CLAUSE.finditer(text):
        said = " ".join(clause.group().lower().strip("- ").split())
        finds = list(instruction_english.find(said))
        if not said.isascii():
            finds += instruction_chinese.find(said)
        yield from sorted(finds, key=lambda find: find.end)
