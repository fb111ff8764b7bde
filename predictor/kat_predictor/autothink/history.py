"""Earlier turns, cleaned before they are put into a prompt again."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from kat.usage_event import Segment
from kat_predictor.autothink.parser import Parser

CHATML_TOKENS: Final = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")

_STARTS_JUDGED: Final = re.compile(r"\s*<(?:judge|think_on|think_off|think|answer)>")
_LEAVES_JUDGE: Final = re.compile(r"^</judge>[ \t]*$|</judge>\s*<(?:think_on|think_off|think|answer)>", re.MULTILINE)
_LEAVES_THINK: Final = re.compile(r"^</think>[ \t]*$|</think>\s*<answer>", re.MULTILINE)
_LEAVES_ANSWER: Final = re.compile(r"</answer>\s*\Z")


def answer_of(turn: str) -> str:
    """The answer of an assistant turn that holds the grammar's tags; any other turn as it is.

    A turn that was cut off inside its judge or thought has no answer: "". One cut off inside the answer keeps what
    there is. The opening tag of a turn may be missing, because the prompt held it.
    """
    if _STARTS_JUDGED.match(turn) or _LEAVES_JUDGE.search(turn):
        start = Segment.JUDGE
    elif _LEAVES_THINK.search(turn):
        start = Segment.THINK
    elif _LEAVES_ANSWER.search(turn):
        start = Segment.ANSWER
    else:
        return turn
    parser = Parser(start)
    deltas = [*parser.feed(turn.lstrip(), 0), *parser.finish()]
    return "".join(delta.text for delta in deltas if delta.segment is Segment.ANSWER)


def neutralise(text: str, tokens: Sequence[str] = CHATML_TOKENS) -> str:
    """Break the control tokens of the chat format, so that content cannot forge the end of a turn and a new one.

    The tokenizer turns the written form of such a token into the token itself. A space after the first character
    keeps the text readable. A zero-width character would hide the change, but some tokenizers' normalisers drop it,
    which would bring the token back; none drops a space within a text.
    """
    for token in tokens:
        text = text.replace(token, f"{token[0]} {token[1:]}")
    return text


def neutralise_all(value: object, tokens: Sequence[str] = CHATML_TOKENS) -> object:
    """A JSON value with every text in it neutralised, keys included: templates print tool definitions whole."""
    if isinstance(value, str):
        return neutralise(value, tokens)
    if isinstance(value, Mapping):
        return {neutralise_all(key, tokens): neutralise_all(item, tokens) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [neutralise_all(item, tokens) for item in value]
    return value
