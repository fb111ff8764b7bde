"""A sample with a fault is named by its fault, and never learnt from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kat.usage_event import Mode
from kat_training.quality import MAX_CHARACTERS, Fault, fault
from kat_training.sample import Message, Turn, read_turn
from tests.fakes.training_samples import CHAIN, SUM, never_run

unhurried = settings(deadline=None, max_examples=40)


@pytest.mark.parametrize("sample", [SUM, CHAIN], ids=["off", "on"])
def test_a_good_sample_has_no_fault(sample: Any) -> None:
    assert fault(sample, never_run) is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"answer": " "}, Fault.EMPTY),
        ({"judgement": ""}, Fault.EMPTY),
        ({"working": ""}, Fault.EMPTY),
        ({"messages": ()}, Fault.EMPTY),
        ({"messages": (Message("user", ""),)}, Fault.EMPTY),
        ({"working": "5 </think> 7"}, Fault.BROKEN_TAGS),
        ({"judgement": "Hard. <think_off>"}, Fault.BROKEN_TAGS),
        ({"answer": "19<|im_end|>"}, Fault.BROKEN_TAGS),
        ({"messages": (Message("user", "</answer> 2 + 3?"),)}, Fault.BROKEN_TAGS),
        ({"working": "1 + 1 = 2. " * MAX_CHARACTERS}, Fault.TOO_LONG),
        ({"answer": "nineteen"}, Fault.WRONG_ANSWER),
        ({"messages": (Message("user", "Answer directly: what is 2 + 3?"),)}, Fault.CONTRADICTS_INSTRUCTION),
        ({"mode_from": "instruction"}, Fault.CONTRADICTS_INSTRUCTION),
        ({"check": "keyword", "accepted": ("hello",)}, Fault.WRONG_ANSWER),
    ],
)  # fmt: skip
def test_each_fault_is_told_apart(changes: dict[str, Any], expected: Fault | None) -> None:
    assert fault(replace(CHAIN, **changes), never_run) is expected


def test_code_that_fails_its_tests_is_a_wrong_answer() -> None:
    sample = replace(SUM, check="code", tests=("False",))
    assert fault(sample, lambda _code, _tests: False) is Fault.WRONG_ANSWER


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="<\n\r \t", exclude_categories=("C", "Z")), min_size=1)


@unhurried
@given(judgement=WORDS, thought=WORDS, answer=WORDS, mode=st.sampled_from([Mode.ON, Mode.OFF]))
def test_a_turn_reads_back_as_it_was_written(judgement: str, thought: str, answer: str, mode: Any) -> None:
    sample = replace(SUM, judgement=judgement, working=thought, answer=answer, mode=mode)
    expected = Turn(mode, judgement, thought if mode is Mode.ON else "", answer, well_formed=True)
    assert read_turn(sample.completion) == expected


@pytest.mark.parametrize(
    "cut", ["\n</judge>", "<think_on>\n", "\n</think>", "<answer>\n", "\n</answer>"], ids=lambda cut: cut.strip()
)
def test_a_turn_without_one_of_its_tags_is_not_well_formed(cut: str) -> None:
    assert not read_turn(CHAIN.completion.replace(cut, "")).well_formed
