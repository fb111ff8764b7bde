"""What holds for every text and every way to cut it."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from kat.usage_event import Mode, Segment
from kat_predictor.autothink.parser import Delta, Parser

TAGS = [
    "<judge>", "</judge>", "<think_on>", "<think_off>", "<think>", "</think>", "<answer>", "</answer>", "<tool_call>",
]  # fmt: skip
STARTS = st.sampled_from([Segment.JUDGE, Segment.THINK, Segment.ANSWER])


@st.composite
def broken_tags(draw: st.DrawFn) -> str:
    tag = draw(st.sampled_from(TAGS))
    at = draw(st.integers(0, len(tag)))
    return tag[:at] + draw(st.sampled_from(["", " ", "\n", "<", "x"])) + tag[at + draw(st.integers(0, 2)) :]


TEXTS = st.lists(
    st.one_of(
        st.sampled_from(TAGS), st.sampled_from(TAGS), broken_tags(), st.sampled_from(["\n", "\n\n", " ", "\t", "<", ">"]),
        st.text(max_size=6),
    ),
    max_size=24,
).map("".join)  # fmt: skip


@st.composite
def cut_texts(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A text and the pieces of one way to cut it, empty ones included."""
    text = draw(TEXTS)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=20)))
    return text, [text[begin:end] for begin, end in pairwise([0, *cuts, len(text)])]


def run(start: Segment, pieces: list[str], tokens: list[int]) -> tuple[Mode, list[Delta]]:
    parser = Parser(start)
    deltas = []
    fed = 0
    for piece, count in zip(pieces, tokens, strict=True):
        deltas += parser.feed(piece, count, marks=tuple(range(fed, fed + count)))
        fed += count
    deltas += parser.finish()
    return parser.mode, deltas


def merged(deltas: list[Delta]) -> list[tuple[Segment, str]]:
    stretches: list[tuple[Segment, str]] = []
    for delta in deltas:
        if stretches and stretches[-1][0] is delta.segment:
            stretches[-1] = (delta.segment, stretches[-1][1] + delta.text)
        elif delta.text:
            stretches.append((delta.segment, delta.text))
    return stretches


@given(start=STARTS, cut=cut_texts())
def test_any_cut_gives_the_same_segments_and_mode(start: Segment, cut: tuple[str, list[str]]) -> None:
    text, pieces = cut
    mode, deltas = run(start, pieces, [1] * len(pieces))
    whole_mode, whole_deltas = run(start, [text], [1])
    assert (mode, merged(deltas)) == (whole_mode, merged(whole_deltas))


@given(start=STARTS, text=TEXTS)
def test_one_character_at_a_time_gives_the_same_segments_and_mode(start: Segment, text: str) -> None:
    mode, deltas = run(start, list(text), [1] * len(text))
    whole_mode, whole_deltas = run(start, [text], [1])
    assert (mode, merged(deltas)) == (whole_mode, merged(whole_deltas))


@given(start=STARTS, cut=cut_texts())
def test_the_text_of_the_deltas_is_the_text_fed(start: Segment, cut: tuple[str, list[str]]) -> None:
    text, pieces = cut
    _, deltas = run(start, pieces, [0] * len(pieces))
    assert "".join(delta.text for delta in deltas) == text


@given(start=STARTS, cut=cut_texts(), data=st.data())
def test_every_token_is_credited_once(start: Segment, cut: tuple[str, list[str]], data: st.DataObject) -> None:
    _, pieces = cut
    tokens = data.draw(st.lists(st.integers(0, 5), min_size=len(pieces), max_size=len(pieces)))
    _, deltas = run(start, pieces, tokens)
    assert sum(delta.tokens for delta in deltas) == sum(tokens)


@given(start=STARTS, cut=cut_texts(), data=st.data())
def test_every_mark_travels_with_its_token(start: Segment, cut: tuple[str, list[str]], data: st.DataObject) -> None:
    _, pieces = cut
    tokens = data.draw(st.lists(st.integers(0, 5), min_size=len(pieces), max_size=len(pieces)))
    _, deltas = run(start, pieces, tokens)
    assert all(len(delta.marks) == delta.tokens for delta in deltas)
    assert sorted(mark for delta in deltas for mark in delta.marks if isinstance(mark, int)) == list(range(sum(tokens)))


@given(start=STARTS, cut=cut_texts())
def test_nothing_but_a_newline_and_part_of_a_tag_is_ever_held_back(start: Segment, cut: tuple[str, list[str]]) -> None:
    _, pieces = cut
    parser = Parser(start)
    fed = shown = 0
    for piece in pieces:
        fed += len(piece)
        shown += sum(len(delta.text) for delta in parser.feed(piece, 1))
        assert fed - shown <= len("\n<think_off")


@given(start=STARTS, cut=cut_texts())
def test_the_way_to_the_answer_leads_there_from_wherever_a_stream_stops(
    start: Segment, cut: tuple[str, list[str]]
) -> None:
    _, pieces = cut
    parser = Parser(start)
    for piece in pieces:
        parser.feed(piece, 1)
    parser.insert(parser.way_to_answer())
    assert parser.answer_begun


@given(STARTS, cut_texts(), st.data())
def test_tokens_are_credited_alike_with_and_without_marks(
    start: Segment, cut: tuple[str, list[str]], data: st.DataObject
) -> None:
    _, pieces = cut
    tokens = data.draw(st.lists(st.integers(0, 3), min_size=len(pieces), max_size=len(pieces)))
    _, marked = run(start, pieces, tokens)
    parser = Parser(start)
    unmarked = [delta for piece, count in zip(pieces, tokens, strict=True) for delta in parser.feed(piece, count)]
    unmarked += parser.finish()
    assert [delta._replace(marks=()) for delta in marked] == unmarked
