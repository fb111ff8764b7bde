"""The work of the parser grows with the text, not with its square."""

from __future__ import annotations

import sys
from types import FrameType
from typing import TYPE_CHECKING

import pytest

from kat.usage_event import Segment
from kat_predictor.autothink.parser import Parser

if TYPE_CHECKING:
    from _typeshed import TraceFunction


def lines_executed(pieces: list[str]) -> int:
    """Lines of Python that feeding the pieces takes: a measure that the machine's load does not touch."""
    parser = Parser(Segment.THINK)
    count = 0

    def trace(frame: FrameType, event: str, arg: object) -> TraceFunction:
        nonlocal count
        count += event == "line"
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        for piece in pieces:
            parser.feed(piece, 1)
    finally:
        sys.settrace(previous)
    return count


@pytest.mark.parametrize("unit", ["a", "<", "\n", " ", "\n<answer", "</thin"], ids=repr)
def test_twice_the_pieces_take_twice_the_work(unit: str) -> None:
    short, long = lines_executed(list(unit * 1_000)), lines_executed(list(unit * 2_000))
    assert long <= 2.1 * short


def test_a_long_stream_of_single_characters_holds_nothing_of_what_has_passed() -> None:
    parser = Parser(Segment.THINK)
    for _ in range(200_000):
        parser.feed("a", 1)
    assert parser.pending_tokens == 0
