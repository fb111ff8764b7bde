"""Which segment a token is credited to when tags and tokens do not end together."""

from __future__ import annotations

from collections import Counter

import pytest

from kat.usage_event import Segment
from kat_predictor.autothink.parser import Delta, Parser

JUDGE, THINK, ANSWER, CONTROL = Segment.JUDGE, Segment.THINK, Segment.ANSWER, Segment.CONTROL


def credited(deltas: list[Delta]) -> dict[Segment, int]:
    counts: Counter[Segment] = Counter()
    for delta in deltas:
        counts[delta.segment] += delta.tokens
    return {segment: count for segment, count in counts.items() if count}


def tokens_of(start: Segment, *pieces: tuple[str, int]) -> dict[Segment, int]:
    parser = Parser(start)
    deltas = [delta for text, tokens in pieces for delta in parser.feed(text, tokens)]
    return credited([*deltas, *parser.finish()])


def test_a_token_goes_to_the_segment_that_holds_most_of_it() -> None:
    assert tokens_of(THINK, ("done</", 1), ("think>", 1)) == {THINK: 1, CONTROL: 1}


def test_a_token_that_is_mostly_tag_is_control() -> None:
    assert tokens_of(THINK, ("a</th", 1), ("ink>", 1)) == {CONTROL: 2}


def test_a_token_shared_equally_goes_to_the_segment_that_came_first() -> None:
    assert tokens_of(THINK, ("ab</", 1), ("think>", 1)) == {THINK: 1, CONTROL: 1}


def test_tokens_of_one_piece_are_shared_by_characters() -> None:
    assert tokens_of(THINK, ("a" * 8 + "</think>" + "b" * 8, 6)) == {THINK: 2, CONTROL: 2, ANSWER: 2}


def test_the_largest_remainder_gets_the_token_that_is_left() -> None:
    assert tokens_of(THINK, ("a" * 10 + "</think>" + "b" * 2, 2)) == {THINK: 1, CONTROL: 1}


def test_a_token_without_text_joins_the_next_piece_with_text() -> None:
    assert tokens_of(ANSWER, ("", 2), ("你", 1)) == {ANSWER: 3}


def test_a_token_without_text_at_the_end_is_control() -> None:
    assert tokens_of(ANSWER, ("Paris", 1), ("", 1)) == {ANSWER: 1, CONTROL: 1}


def test_a_token_without_text_before_an_insertion_is_control() -> None:
    parser = Parser(THINK)
    deltas = [*parser.feed("hm", 1), *parser.feed("", 1), *parser.insert("\n</think>\n\n<answer>\n"), *parser.finish()]
    assert credited(deltas) == {THINK: 1, CONTROL: 1}


def test_a_token_whose_text_has_left_is_credited_later() -> None:
    parser = Parser(THINK)
    early = parser.feed("abc</", 1)
    late = parser.feed("think>", 1)
    assert (credited(early), credited(late)) == ({}, {THINK: 1, CONTROL: 1})


def test_marks_go_where_their_tokens_go() -> None:
    parser = Parser(THINK)
    deltas = [*parser.feed("abcd</think>", 3, marks=("x", "y", "z")), *parser.finish()]
    assert [(delta.segment, delta.marks) for delta in deltas] == [(THINK, ("x",)), (CONTROL, ("y", "z"))]


def test_tokens_without_marks_may_join_tokens_with_marks() -> None:
    parser = Parser(ANSWER)
    deltas = [*parser.feed("", 1), *parser.feed("a", 1, marks=("x",)), *parser.finish()]
    assert [(delta.tokens, delta.marks) for delta in deltas] == [(2, ("x",))]


def test_marks_that_do_not_match_the_tokens_are_refused() -> None:
    with pytest.raises(ValueError, match="2 marks for 1 tokens"):
        Parser(ANSWER).feed("a", 1, marks=("x", "y"))
