"""The scaffold and the line of the emulated judge."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kat.usage_event import Segment
from kat_predictor.autothink.judge import JudgementLine, judge_messages
from kat_predictor.autothink.parser import Parser

JUDGE, CONTROL = Segment.JUDGE, Segment.CONTROL


def test_the_question_is_the_last_user_turn() -> None:
    assert judge_messages("Why?")[-1] == {"role": "user", "content": "Why?"}


def test_every_example_follows_the_grammar() -> None:
    for message in judge_messages("Why?"):
        if message["role"] == "assistant":
            parser = Parser(Segment.JUDGE)
            parser.feed(message["content"], 0)
            assert (parser.mode.value in message["content"], parser.segment) == (True, CONTROL)


def test_a_long_question_keeps_its_head_and_its_tail() -> None:
    question = "head " + "x" * 100_000 + " tail"
    asked = judge_messages(question)[-1]["content"]
    assert (asked[:5], asked[-5:], len(asked) < 3_100) == ("head ", " tail", True)


def test_a_question_of_ordinary_length_is_asked_whole() -> None:
    assert judge_messages("x" * 3_000)[-1]["content"] == "x" * 3_000


@pytest.mark.parametrize(
    ("generated", "text", "way"),
    [
        ("A fact.", "A fact.", "\n</judge>\n\n<think_"),
        ("A fact.\n", "A fact.", "</judge>\n\n<think_"),
        ("\n A fact.\n\n", "A fact.", "</judge>\n\n<think_"),
        ("A fact.\n</jud", "A fact.", "ge>\n\n<think_"),
        ("A fact.</judge>", "A fact.", "\n\n<think_"),
        ("A fact. <b>", "A fact.", "\n</judge>\n\n<think_"),
        ("", "", "\n</judge>\n\n<think_"),
    ],
)
def test_the_line_ends_at_a_newline_or_a_tag_and_goes_on_to_the_choice(generated: str, text: str, way: str) -> None:
    line = JudgementLine()
    line.feed(generated, 1)
    assert (line.text, line.way_to_choice()) == (text, way)


@given(text=st.text("a <\n", max_size=12), data=st.data())
def test_any_cut_gives_the_same_line_and_keeps_every_token(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    whole, line = JudgementLine(), JudgementLine()
    whole.feed(text, 1)
    deltas = [
        delta for begin, end in pairwise([0, *cuts, len(text)]) for delta in line.feed(text[begin:end], 1)
    ] + line.finish()
    assert (line.text, line.complete, line.way_to_choice()) == (whole.text, whole.complete, whole.way_to_choice())
    assert sum(delta.tokens for delta in deltas) == len(cuts) + 1
    assert "".join(delta.text for delta in deltas) == text
