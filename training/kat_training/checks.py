"""Whether an answer is right. Strict enough that naming every possible answer does not help: the last word counts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final

from kat_training.sample import Sample

RunTests = Callable[[str, Sequence[str]], bool]
"""From an answer's code and its tests to whether all of them are true."""

_NUMBER: Final = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?(?![\w.]*\d)")
_WORD: Final = re.compile(r"[\w:+#./~-]+")
_SEPARATORS: Final = re.compile(r"[\s,;，、；\[\]()（）]+|\band\b|和")
_FENCED: Final = re.compile(r"```(?:[a-zA-Z0-9]*)\n(.*?)```", re.DOTALL)


def is_right(sample: Sample, answer: str, run_tests: RunTests) -> bool:
    """Compare an answer with a sample's reference.

    - `number`: the last number of the answer.
    - `text`: the answer is the reference, or ends with it; case, punctuation and code marks aside.
    - `list`: the same items in the same order.
    - `keyword`: it has one of the accepted words.
    - `code`: its tests are true; `run_tests` is called for this kind alone.
    """
    if not answer.strip():
        return False
    match sample.check:
        case "code":
            return run_tests(code_of(answer), sample.tests)
        case "keyword":
            words = _plain(answer)
            return any(_plain(keyword) in words for keyword in sample.accepted)
        case "number":
            said = _last_number(answer)
            return said is not None and said == _last_number(sample.answer)
        case "list":
            items = _items(answer)
            return bool(items) and items == _items(sample.answer)
        case "text":
            return any(_ends_with(answer, reference) for reference in (sample.answer, *sample.accepted))


def code_of(answer: str) -> str:
    """The code in an answer: what its first fence holds, or all of it."""
    fenced = _FENCED.search(answer)
    return fenced.group(1) if fenced else answer


def _plain(text: str) -> str:
    return " ".join(_WORD.findall(unicodedata.normalize("NFKC", text).casefold())).rstrip(".:")


def _ends_with(answer: str, reference: str) -> bool:
    said, expected = _plain(answer), _plain(reference)
    if not said.endswith(expected):
        return False
    before = said[: len(said) - len(expected)]
    # Chinese has no blanks between words; "un-Paris" is not Paris.
    return not before or before.endswith(" ") or not expected.isascii()


def _last_number(text: str) -> Decimal | None:
    found = _NUMBER.findall(unicodedata.normalize("NFKC", text))
    return Decimal(found[-1].replace(",", "")) if found else None


def _items(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKC", text).casefold().strip().strip(".。")
    return [item for item in _SEPARATORS.split(plain) if item]
