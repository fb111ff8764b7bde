"""How tool calls are found in an answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kat_predictor.tool_calls import ToolCall, ToolCallSplitter


def numbered() -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"call_{next(numbers):024x}"


def split(*pieces: str) -> list[str | ToolCall]:
    splitter = ToolCallSplitter(numbered())
    merged: list[str | ToolCall] = []
    for part in [*(part for piece in pieces for part in splitter.feed(piece)), *splitter.finish()]:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        else:
            merged.append(part)
    return merged


def call(number: int, name: str, arguments: str) -> ToolCall:
    return ToolCall(f"call_{number:024x}", name, arguments)


WEATHER = '<tool_call>\n{"name": "weather", "arguments": {"city": "北京"}}\n</tool_call>'

CASES: dict[str, tuple[str, list[str | ToolCall]]] = {
    "content alone": ("Hello\n", ["Hello\n"]),
    "white space alone is content": (" \n", [" \n"]),
    "one call": (WEATHER, [call(1, "weather", '{"city": "北京"}')]),
    "content before a call": (f"Let me see.\n{WEATHER}", ["Let me see.\n", call(1, "weather", '{"city": "北京"}')]),
    "content after a call": (f"{WEATHER}\nDone", [call(1, "weather", '{"city": "北京"}'), "\nDone"]),
    "two calls lose the white space between them": (
        f"\n{WEATHER}\n{WEATHER}\n",
        [call(1, "weather", '{"city": "北京"}'), call(2, "weather", '{"city": "北京"}')],
    ),
    "a call without arguments": ('<tool_call>{"name": "now"}</tool_call>', [call(1, "now", "{}")]),
    "arguments that the model serialised itself": (
        '<tool_call>{"name": "f", "arguments": "{\\"a\\":1}"}</tool_call>',
        [call(1, "f", '{"a": 1}')],
    ),
    "a whole call that was not closed": (
        '<tool_call>{"name": "f", "arguments": {}}\n',
        [call(1, "f", "{}")],
    ),
    "a call cut short is content": ('a <tool_call>{"name": "f", "arg', ['a <tool_call>{"name": "f", "arg']),
    "a tag cut short is content": ("a <tool_c", ["a <tool_c"]),
    "a closing tag alone is content": ("a </tool_call> b", ["a </tool_call> b"]),
    "half a surrogate pair stays an escape": (
        '<tool_call>{"name": "f", "arguments": {"a": "\\ud800"}}</tool_call>',
        [call(1, "f", '{"a": "\\ud800"}')],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_an_answer_is_split_into_content_and_calls(case: str) -> None:
    text, parts = CASES[case]
    assert split(text) == parts


@pytest.mark.parametrize(
    "body",
    [
        "{bad json}",
        "[]",
        '"f"',
        "null",
        "",
        '{"arguments": {}}',
        '{"name": "", "arguments": {}}',
        '{"name": 7, "arguments": {}}',
        '{"name": "f", "arguments": [1]}',
        '{"name": "f", "arguments": "no json"}',
        '{"name": "f", "arguments": {"a": NaN}}',
        '{"name": "f", "arguments": {"a": 1e999}}',
        '{"name": "\\ud800", "arguments": {}}',
        '{"name": "f", "arguments": {}} and more',
        "[" * 100_000,
        '{"name": "f", "arguments": {"n": ' + "9" * 10_000 + "}}",
    ],
    ids=lambda body: body[:40],
)
def test_a_malformed_call_is_content_to_the_letter(body: str) -> None:
    text = f"\n<tool_call>{body}</tool_call>\n"
    assert split(text) == [text]


def test_a_call_after_a_malformed_one_is_found() -> None:
    assert split(f"<tool_call>{{bad</tool_call>\n{WEATHER}") == [
        "<tool_call>{bad</tool_call>\n",
        call(1, "weather", '{"city": "北京"}'),
    ]


def test_content_is_handed_on_at_once() -> None:
    assert ToolCallSplitter(numbered()).feed("a < b <tool") == ["a < b "]


def test_a_call_is_handed_on_when_its_tag_closes() -> None:
    assert ToolCallSplitter(numbered()).feed(WEATHER) == [call(1, "weather", '{"city": "北京"}')]


PARTS = st.one_of(
    st.sampled_from([WEATHER, "<tool_call>", "</tool_call>", "<tool_call>{}</tool_call>", "<tool_", "\n", " ", "<"]),
    st.text(max_size=5),
)


@given(text=st.lists(PARTS, max_size=12).map("".join), data=st.data())
@settings(deadline=None)
def test_any_cut_gives_the_same_parts(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=20)))
    assert split(*(text[begin:end] for begin, end in pairwise([0, *cuts, len(text)]))) == split(text)


@given(text=st.lists(PARTS, max_size=12).map("".join))
@settings(deadline=None)
def test_one_character_at_a_time_gives_the_same_parts(text: str) -> None:
    assert split(*text) == split(text)


@given(text=st.lists(PARTS, max_size=12).map("".join))
@settings(deadline=None)
def test_no_content_is_lost(text: str) -> None:
    written = "".join(part if isinstance(part, str) else WEATHER for part in split(text))
    assert "".join(written.split()) in {"".join(text.split()), "".join((text + "</tool_call>").split())}


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text(), max_size=5))
@settings(deadline=None)
def test_arguments_keep_their_values(arguments: dict[str, object]) -> None:
    body = json.dumps({"name": "f", "arguments": arguments}).replace("</", "<\\/")
    (part,) = split(f"<tool_call>{body}</tool_call>")
    assert isinstance(part, ToolCall)
    assert json.loads(part.arguments) == arguments
