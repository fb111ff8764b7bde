"""What the parser makes of whole turns, tag by tag."""

from __future__ import annotations

import pytest

from kat.usage_event import Mode, Segment
from kat_predictor.autothink.parser import Delta, Parser

JUDGE, THINK, ANSWER, CONTROL = Segment.JUDGE, Segment.THINK, Segment.ANSWER, Segment.CONTROL


def merged(deltas: list[Delta]) -> list[tuple[Segment, str]]:
    stretches: list[tuple[Segment, str]] = []
    for delta in deltas:
        if stretches and stretches[-1][0] is delta.segment:
            stretches[-1] = (delta.segment, stretches[-1][1] + delta.text)
        elif delta.text:
            stretches.append((delta.segment, delta.text))
    return stretches


def parse(text: str, start: Segment) -> tuple[Mode, list[tuple[Segment, str]]]:
    parser = Parser(start)
    deltas = [*parser.feed(text, 0), *parser.finish()]
    return parser.mode, merged(deltas)


CASES = {
    "a think-on turn": (
        JUDGE,
        "hard\n</judge>\n\n<think_on>\n<think>\nhm\n</think>\n\n<answer>\n42\n</answer>",
        Mode.ON,
        [
            (JUDGE, "hard"),
            (CONTROL, "\n</judge>\n\n<think_on>\n<think>\n"),
            (THINK, "hm"),
            (CONTROL, "\n</think>\n\n<answer>\n"),
            (ANSWER, "42"),
            (CONTROL, "\n</answer>"),
        ],
    ),
    "a think-off turn": (
        JUDGE,
        "easy\n</judge>\n\n<think_off>\n<answer>\nParis\n</answer>",
        Mode.OFF,
        [
            (JUDGE, "easy"),
            (CONTROL, "\n</judge>\n\n<think_off>\n<answer>\n"),
            (ANSWER, "Paris"),
            (CONTROL, "\n</answer>"),
        ],
    ),
    "a closing tag ends its segment in the middle of a line": (
        JUDGE,
        "easy</judge><think_off><answer>Paris</answer>",
        Mode.OFF,
        [
            (JUDGE, "easy"),
            (CONTROL, "</judge><think_off><answer>"),
            (ANSWER, "Paris"),
            (CONTROL, "</answer>"),
        ],
    ),
    "a mode tag at the start of a line ends an unclosed judge": (
        JUDGE,
        "easy\n  <think_off>\n<answer>\nParis",
        Mode.OFF,
        [(JUDGE, "easy\n  "), (CONTROL, "<think_off>\n<answer>\n"), (ANSWER, "Paris")],
    ),
    "a thought at the start of a line ends an unclosed judge and means on": (
        JUDGE,
        "hard\n<think>\nhm",
        Mode.ON,
        [(JUDGE, "hard"), (CONTROL, "\n<think>\n"), (THINK, "hm")],
    ),
    "an answer at the start of a line ends an unclosed thought": (
        THINK,
        "hm\n<answer>\n42",
        Mode.ON,
        [(THINK, "hm"), (CONTROL, "\n<answer>\n"), (ANSWER, "42")],
    ),
    "tags in the middle of a line of thought are thought": (
        THINK,
        "the tag <answer> opens, <think_off> decides\n</think>\n<answer>\nok",
        Mode.ON,
        [
            (THINK, "the tag <answer> opens, <think_off> decides"),
            (CONTROL, "\n</think>\n<answer>\n"),
            (ANSWER, "ok"),
        ],
    ),
    "a mode tag in the middle of a judge's line is judge": (
        JUDGE,
        "not <think_on>\n</judge>\n<think_off>\n<answer>\nok",
        Mode.OFF,
        [(JUDGE, "not <think_on>"), (CONTROL, "\n</judge>\n<think_off>\n<answer>\n"), (ANSWER, "ok")],
    ),
    "the closing tag of another segment is text": (
        THINK,
        "a </answer> b </judge>\n</think>",
        Mode.ON,
        [(THINK, "a </answer> b </judge>"), (CONTROL, "\n</think>")],
    ),
    "in an answer every tag but its own end is text": (
        ANSWER,
        "Use\n<think>\n</think>\n<think_on>\n<judge>x</judge>\n</answer>",
        Mode.OFF,
        [(ANSWER, "Use\n<think>\n</think>\n<think_on>\n<judge>x</judge>"), (CONTROL, "\n</answer>")],
    ),
    "text after the answer is answer again": (
        ANSWER,
        "a\n</answer>\n\nand b\n</answer>",
        Mode.OFF,
        [(ANSWER, "a"), (CONTROL, "\n</answer>\n\n"), (ANSWER, "and b"), (CONTROL, "\n</answer>")],
    ),
    "a judge that is opened again is control": (
        JUDGE,
        "<judge>\neasy\n</judge>",
        Mode.UNDECIDED,
        [(CONTROL, "<judge>\n"), (JUDGE, "easy"), (CONTROL, "\n</judge>")],
    ),
    "a judge that is opened later is text": (
        JUDGE,
        "x\n<judge>\n",
        Mode.UNDECIDED,
        [(JUDGE, "x\n<judge>\n")],
    ),
    "an answer without a mode tag means off": (
        JUDGE,
        "easy\n</judge>\n<answer>\nhi",
        Mode.OFF,
        [(JUDGE, "easy"), (CONTROL, "\n</judge>\n<answer>\n"), (ANSWER, "hi")],
    ),
    "a thought without a mode tag means on": (
        JUDGE,
        "x\n</judge>\n<think>\nhm",
        Mode.ON,
        [(JUDGE, "x"), (CONTROL, "\n</judge>\n<think>\n"), (THINK, "hm")],
    ),
    "bare text after the judge is an answer and means off": (
        JUDGE,
        "x\n</judge>\n\n<tool_call>{}</tool_call>",
        Mode.OFF,
        [(JUDGE, "x"), (CONTROL, "\n</judge>\n\n"), (ANSWER, "<tool_call>{}</tool_call>")],
    ),
    "bare text after a mode tag is answer, for it may be all there is": (
        JUDGE,
        "x\n</judge>\n<think_on>\nhello",
        Mode.ON,
        [(JUDGE, "x"), (CONTROL, "\n</judge>\n<think_on>\n"), (ANSWER, "hello")],
    ),
    "bare text after the thought is answer": (
        THINK,
        "hm\n</think>\n\n42",
        Mode.ON,
        [(THINK, "hm"), (CONTROL, "\n</think>\n\n"), (ANSWER, "42")],
    ),
    "the mode tag that came first stands": (
        JUDGE,
        "x\n</judge>\n<think_off>\n<think>\nhm\n</think>\nok",
        Mode.OFF,
        [
            (JUDGE, "x"),
            (CONTROL, "\n</judge>\n<think_off>\n<think>\n"),
            (THINK, "hm"),
            (CONTROL, "\n</think>\n"),
            (ANSWER, "ok"),
        ],
    ),
    "only one newline beside a tag is control": (
        THINK,
        "\n\nhm\n\n</think>\n<answer>\n\n42\n\n</answer>",
        Mode.ON,
        [
            (THINK, "\n\nhm\n"),
            (CONTROL, "\n</think>\n<answer>\n"),
            (ANSWER, "\n42\n"),
            (CONTROL, "\n</answer>"),
        ],
    ),
    "an empty answer": (ANSWER, "</answer>", Mode.OFF, [(CONTROL, "</answer>")]),
    "nothing at all": (JUDGE, "", Mode.UNDECIDED, []),
    "a turn cut inside the judge": (JUDGE, "this needs", Mode.UNDECIDED, [(JUDGE, "this needs")]),
    "a turn cut inside an expected tag shows nothing of it": (
        JUDGE,
        "x\n</judge>\n<think_o",
        Mode.UNDECIDED,
        [(JUDGE, "x"), (CONTROL, "\n</judge>\n<think_o")],
    ),
    "a turn cut inside what may have been a closing tag keeps it as text": (
        ANSWER,
        "if a\n</ans",
        Mode.OFF,
        [(ANSWER, "if a\n</ans")],
    ),
    "tags are case-sensitive": (THINK, "a</THINK>b", Mode.ON, [(THINK, "a</THINK>b")]),
    "something that only resembles a tag is text": (
        THINK,
        "a </think b> <<</thin</think>",
        Mode.ON,
        [(THINK, "a </think b> <<</thin"), (CONTROL, "</think>")],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_turn_is_split_into_its_segments(case: str) -> None:
    start, text, mode, segments = CASES[case]
    assert parse(text, start) == (mode, segments)


@pytest.mark.parametrize("case", CASES)
def test_one_character_at_a_time_gives_the_same(case: str) -> None:
    start, text, mode, segments = CASES[case]
    parser = Parser(start)
    deltas = [delta for character in text for delta in parser.feed(character, 1)]
    deltas += parser.finish()
    assert (parser.mode, merged(deltas)) == (mode, segments)


@pytest.mark.parametrize(
    ("start", "mode"), [(JUDGE, Mode.UNDECIDED), (THINK, Mode.ON), (ANSWER, Mode.OFF)], ids=["judge", "think", "answer"]
)
def test_a_forced_start_decides_the_mode(start: Segment, mode: Mode) -> None:
    assert Parser(start).mode is mode


@pytest.mark.parametrize("text", ["word", "a > b", "x</b", "two\nlines", "你好", "end.  "])
def test_text_that_cannot_become_a_tag_is_not_held_back(text: str) -> None:
    parser = Parser(THINK)
    assert merged(parser.feed(text, 1)) == [(THINK, text)]


@pytest.mark.parametrize(
    ("text", "shown"), [("a\n", "a"), ("a<", "a"), ("a\n</thi", "a"), ("a\n\n", "a\n"), ("a\n<answer", "a")]
)
def test_only_what_may_become_a_tag_is_held_back(text: str, shown: str) -> None:
    parser = Parser(THINK)
    assert merged(parser.feed(text, 1)) == [(THINK, shown)]


@pytest.mark.parametrize(
    ("start", "so_far"),
    [
        (JUDGE, ""),
        (JUDGE, "hm"),
        (JUDGE, "hm\n"),
        (JUDGE, "hm\n</jud"),
        (JUDGE, "hm\n<think_o"),
        (JUDGE, "hm\n</judge>"),
        (JUDGE, "hm\n</judge>\n\n<thi"),
        (JUDGE, "hm\n</judge>\n\n<think_on>"),
        (THINK, "hm"),
        (THINK, "hm\n"),
        (THINK, "hm\n</thi"),
        (THINK, "hm<"),
        (THINK, "hm\n<ans"),
        (THINK, "hm\n</think>\n"),
        (ANSWER, "hi"),
        (ANSWER, "hi\n</ans"),
    ],
)
def test_the_way_to_the_answer_leads_there_from_anywhere(start: Segment, so_far: str) -> None:
    parser = Parser(start)
    parser.feed(so_far, 1)
    parser.insert(parser.way_to_answer())
    assert parser.segment is ANSWER


def test_text_that_the_server_inserts_is_in_no_delta() -> None:
    parser = Parser(THINK)
    before = parser.feed("hm\n</th", 1)
    deltas = [*before, *parser.insert(parser.way_to_answer()), *parser.feed("42", 1), *parser.finish()]
    assert merged(deltas) == [(THINK, "hm"), (CONTROL, "\n</th"), (ANSWER, "42")]
