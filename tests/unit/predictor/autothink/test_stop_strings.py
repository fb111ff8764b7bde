"""Where an answer is cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kat_predictor.autothink.stop_strings import StopStrings


def shown(stops: list[str], pieces: list[str]) -> tuple[str, bool]:
    strings = StopStrings(stops)
    text = "".join([*(strings.feed(piece) for piece in pieces), strings.flush()])
    return text, strings.hit


def test_text_from_the_stop_string_on_is_not_shown() -> None:
    assert shown(["END"], ["a E", "N", "D b"]) == ("a ", True)


def test_a_beginning_of_a_stop_string_is_shown_once_it_is_none() -> None:
    assert shown(["END"], ["a EN", "C"]) == ("a ENC", False)


def test_a_beginning_of_a_stop_string_at_the_end_is_shown() -> None:
    assert shown(["END"], ["a EN"]) == ("a EN", False)


def test_the_stop_string_that_is_complete_first_counts() -> None:
    assert shown(["abcd", "bc"], ["xabcd"]) == ("xa", True)


def test_of_two_that_are_complete_together_the_longer_counts() -> None:
    assert shown(["bc", "abc"], ["xabc"]) == ("x", True)


def test_a_stop_string_that_begins_inside_a_failed_beginning_of_itself_is_found() -> None:
    assert shown(["aab"], ["a", "a", "a", "b"]) == ("a", True)


def test_nothing_is_withheld_without_stop_strings() -> None:
    assert StopStrings([]).feed("abc") == "abc"


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        StopStrings(["a", ""])


def expected(stops: list[str], text: str) -> tuple[str, bool]:
    """The definition, spelled out."""
    for end in range(1, len(text) + 1):
        complete = [len(stop) for stop in stops if text[:end].endswith(stop)]
        if complete:
            return text[: end - max(complete)], True
    return text, False


STOPS = st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=4)


@given(stops=STOPS, text=st.text("ab\n", max_size=30), data=st.data())
def test_any_cut_shows_what_the_definition_says(stops: list[str], text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[begin:end] for begin, end in pairwise([0, *cuts, len(text)])]
    assert shown(stops, pieces) == expected(stops, text)
