"""Each generated token is moved by the part of the reward that it earned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kat.usage_event import Mode, Segment
from kat_training.rewards import DEFAULT_WEIGHTS
from kat_training.sample import Sample
from kat_training.step_srpo_credit import Rollout, figures, pieces, rollout, segments, token_advantages
from tests.fakes.training_samples import CHAIN, SUM, never_run

END = 256
"""The token that ends a turn, behind those of one byte each."""


def decode(tokens: Sequence[int]) -> str:
    return bytes(token for token in tokens if token != END).decode(errors="replace")


def tokens_of(text: str) -> list[int]:
    return [*text.encode(), END]


def rolled(sample: Sample, text: str) -> Rollout:
    return rollout(sample, tokens_of(text), decode, DEFAULT_WEIGHTS, never_run)


RIGHT = CHAIN.completion
SKIPPED = replace(CHAIN, mode=Mode.OFF).completion


def test_the_tokens_up_to_the_mode_tag_are_the_judge_s_and_the_rest_is_the_answer_s() -> None:
    right, skipped = rolled(CHAIN, RIGHT), rolled(CHAIN, SKIPPED)
    wrong = rolled(CHAIN, replace(CHAIN, answer="20").completion)

    moved = token_advantages([right, skipped, wrong])[2]

    at = moved.index(moved[-1])
    assert decode(tokens_of(replace(CHAIN, answer="20").completion)[:at]).rstrip().endswith("<think_on>\n<think>")
    assert set(moved[:at]) == {moved[0]}
    assert moved[0] > 0 > moved[at]
    assert set(moved[at:]) == {moved[at]}


def test_a_group_that_earned_the_same_moves_nothing() -> None:
    assert set(token_advantages([rolled(SUM, SUM.completion)] * 2)[0]) == {0.0}


def test_a_right_answer_in_the_due_mode_earns_both_parts() -> None:
    outcome = rolled(CHAIN, RIGHT).outcome
    assert (outcome.used, outcome.answer_score, outcome.well_formed) == (Mode.ON, 1.0, True)


def test_a_turn_that_was_cut_earns_nothing_for_the_answer_in_it() -> None:
    outcome = rolled(SUM, SUM.completion.removesuffix("\n</answer>")).outcome
    assert (outcome.well_formed, outcome.answer_score) == (False, 0.0)


def test_the_ending_token_counts_and_is_no_text() -> None:
    found = segments(tokens_of("12"), decode)
    assert found[-1] is Segment.CONTROL
    assert len(found) == 3


@pytest.mark.parametrize("text", ["思考", "é", "a思b"])
def test_a_character_of_several_tokens_comes_with_its_last(text: str) -> None:
    found = pieces(tokens_of(text), decode)
    assert "".join(found) == text
    assert "�" not in "".join(found)


@given(st.lists(st.integers(0, END), max_size=60))
def test_whatever_is_sampled_each_token_has_a_segment_and_no_text_is_lost(tokens: list[int]) -> None:
    assert len(segments(tokens, decode)) == len(tokens)
    assert "".join(pieces(tokens, decode)) == decode(tokens)


def test_a_step_logs_means_over_its_turns() -> None:
    logged = figures([rolled(CHAIN, RIGHT), rolled(CHAIN, SKIPPED)])
    assert logged["judge_reward"] == 0
    assert logged["think_on_share"] == 0.5
    assert logged["well_formed_share"] == 1
    assert logged["tokens"] == (len(tokens_of(RIGHT)) + len(tokens_of(SKIPPED))) / 2
