"""Rewards order outcomes as the recipe means them, and reach the tokens that earned them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kat.usage_event import Mode, Segment
from kat_training.rewards import (
    Outcome,
    Reward,
    RewardWeights,
    advantages,
    answer_reward,
    credit,
    judge_reward,
    reward,
)

unhurried = settings(deadline=None, max_examples=40)

DECIDED = st.sampled_from([Mode.ON, Mode.OFF])
OUTCOMES = st.builds(
    Outcome,
    due=DECIDED,
    used=st.sampled_from(list(Mode)),
    answer_score=st.floats(0, 1),
    tokens=st.integers(0, 2_000),
    well_formed=st.booleans(),
)
WEIGHTS = st.builds(
    RewardWeights,
    needless=st.floats(0.3, 1),
    skipped=st.floats(-1, -0.3),
    malformed=st.floats(-2, -1),
    token_cost=st.floats(0, 0.29),
    token_scale=st.integers(1, 1_000),
)
SEGMENTS = st.lists(st.sampled_from([Segment.JUDGE, Segment.CONTROL, Segment.THINK, Segment.ANSWER]), max_size=30)
RIGHT = Outcome(due=Mode.ON, used=Mode.ON, answer_score=1.0, tokens=0)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Reward(1.0, 1.0)),
        ({"answer_score": 0.0}, Reward(1.0, 0.0)),
        ({"answer_score": 0.5}, Reward(1.0, 0.5)),
        ({"used": Mode.OFF}, Reward(-1.0, -0.5)),
        ({"due": Mode.OFF}, Reward(-1.0, 0.6)),
        ({"due": Mode.OFF, "used": Mode.OFF}, Reward(1.0, 1.0)),
        ({"used": Mode.UNDECIDED}, Reward(-1.0, -1.0)),
        ({"well_formed": False}, Reward(1.0, -1.0)),
        ({"tokens": 128}, Reward(1.0, 0.95)),
        ({"tokens": 10_000}, Reward(1.0, 0.9)),
    ],
)
def test_each_outcome_earns_its_parts(changes: dict[str, Any], expected: Reward) -> None:
    assert reward(replace(RIGHT, **changes)) == expected


@unhurried
@given(outcome=OUTCOMES, weights=WEIGHTS)
def test_rewards_are_bounded(outcome: Outcome, weights: RewardWeights) -> None:
    assert weights.malformed - weights.token_cost <= answer_reward(outcome, weights) <= 1


@unhurried
@given(outcome=OUTCOMES, weights=WEIGHTS)
def test_a_skipped_thought_is_negative_whatever_the_answer(outcome: Outcome, weights: RewardWeights) -> None:
    assert answer_reward(replace(outcome, due=Mode.ON, used=Mode.OFF), weights) < 0


@unhurried
@given(outcome=OUTCOMES, weights=WEIGHTS, due=DECIDED)
def test_the_due_mode_never_earns_less_than_the_other(outcome: Outcome, weights: RewardWeights, due: Any) -> None:
    other = Mode.OFF if due is Mode.ON else Mode.ON
    right, wrong = replace(outcome, due=due, used=due), replace(outcome, due=due, used=other)
    assert answer_reward(right, weights) >= answer_reward(wrong, weights)
    assert judge_reward(right) > judge_reward(wrong)


@unhurried
@given(outcome=OUTCOMES, weights=WEIGHTS, more=st.integers(0, 500))
def test_more_tokens_never_earn_more(outcome: Outcome, weights: RewardWeights, more: int) -> None:
    longer = replace(outcome, tokens=outcome.tokens + more)
    assert answer_reward(longer, weights) <= answer_reward(outcome, weights)


@unhurried
@given(outcome=OUTCOMES, weights=WEIGHTS, better=st.floats(0, 1))
def test_a_better_answer_never_earns_less(outcome: Outcome, weights: RewardWeights, better: float) -> None:
    improved = replace(outcome, answer_score=max(outcome.answer_score, better))
    assert answer_reward(improved, weights) >= answer_reward(outcome, weights)


@unhurried
@given(due=DECIDED, used=DECIDED, weights=WEIGHTS, tokens=st.integers(0, 5_000))
def test_the_token_cost_never_makes_a_right_answer_worse_than_a_skipped_thought(
    due: Any, used: Any, weights: RewardWeights, tokens: int
) -> None:
    right = Outcome(due=due, used=used, answer_score=1, tokens=tokens)
    skipped = Outcome(due=Mode.ON, used=Mode.OFF, answer_score=1, tokens=0)
    earned = answer_reward(right, weights)
    assert earned > 0 or (due is Mode.ON and used is Mode.OFF)
    assert earned >= answer_reward(skipped, weights) - weights.token_cost


@pytest.mark.parametrize(
    "bad",
    [{"needless": 0}, {"needless": 1.1}, {"skipped": 0}, {"malformed": -0.1}, {"token_cost": 0.7}, {"token_cost": -1}, {"token_scale": 0}],
)  # fmt: skip
def test_weights_that_would_turn_the_order_round_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        RewardWeights(**bad)


@pytest.mark.parametrize("bad", [{"answer_score": 1.1}, {"answer_score": -0.1}, {"tokens": -1}])
def test_an_outcome_that_cannot_be_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="score"):
        replace(RIGHT, **bad)


def test_the_judge_is_credited_up_to_its_mode_tag_and_the_answer_behind_it() -> None:
    segments = [
        Segment.JUDGE,
        Segment.JUDGE,
        Segment.CONTROL,
        Segment.THINK,
        Segment.CONTROL,
        Segment.ANSWER,
        Segment.CONTROL,
    ]
    assert credit(segments, Reward(1.0, -0.5)) == (1.0, 1.0, 1.0, -0.5, -0.5, -0.5, -0.5)


@unhurried
@given(segments=SEGMENTS)
def test_every_token_earns_one_of_the_two_parts_and_the_judge_only_at_the_front(segments: list[Segment]) -> None:
    earned = credit(segments, Reward(1.0, -1.0))
    assert len(earned) == len(segments)
    assert list(earned) == sorted(earned, reverse=True)


@unhurried
@given(segments=SEGMENTS)
def test_thought_and_answer_never_earn_the_judges_part(segments: list[Segment]) -> None:
    earned = credit(segments, Reward(1.0, -1.0))
    assert all(
        part == -1.0
        for segment, part in zip(segments, earned, strict=True)
        if segment in (Segment.THINK, Segment.ANSWER)
    )


GROUPS = st.lists(st.builds(Reward, judge=st.sampled_from([-1.0, 1.0]), answer=st.floats(-1, 1)), max_size=16)


@unhurried
@given(group=GROUPS)
def test_advantages_of_a_group_are_centred_in_both_parts(group: list[Reward]) -> None:
    found = advantages(group)
    assert math.isclose(sum(each.judge for each in found), 0, abs_tol=1e-6)
    assert math.isclose(sum(each.answer for each in found), 0, abs_tol=1e-6)


@unhurried
@given(group=GROUPS)
def test_a_better_reward_never_has_the_smaller_advantage(group: list[Reward]) -> None:
    found = advantages(group)
    by_reward = sorted(zip((each.answer for each in group), (each.answer for each in found), strict=True))
    assert [advantage for _, advantage in by_reward] == sorted(advantage for _, advantage in by_reward)


def test_a_group_that_earned_the_same_teaches_nothing() -> None:
    assert advantages([Reward(1.0, 0.3)] * 4) == [Reward(0.0, 0.0)] * 4
