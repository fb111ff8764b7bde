"""From generated tokens to the advantage of each: what a group of turns earned, part by part and token by token. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kat.usage_event import Mode, Segment
from kat_predictor.autothink.parser import Parser
from kat_training.checks import RunTests, is_right
from kat_training.rewards import Outcome, Reward, RewardWeights, advantages, credit, reward
from kat_training.sample import Sample, read_turn

Decode = Callable[[Sequence[int]], str]
"""Tokens to text, without special ones."""

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True)
class Rollout:
    """A sampled turn and what it earned."""

    outcome: Outcome
    reward: Reward
    segments: tuple[Segment, ...]
    """Of each token."""


def rollout(
    sample: Sample, tokens: Sequence[int], decode: Decode, weights: RewardWeights, run_tests: RunTests
) -> Rollout:
    """Score one completion, as its tokens were sampled: with the token that ended it, if there was one."""
    turn = read_turn(decode(tokens))
    # A turn whose mode is undecided or whose grammar is broken earns the same whatever it answers.
    right = turn.well_formed and is_right(sample, turn.answer, run_tests)
    outcome = Outcome(
        due=sample.mode,
        used=turn.mode,
        answer_score=float(right),
        tokens=len(tokens),
        well_formed=turn.well_formed,
    )
    return Rollout(outcome, reward(outcome, weights), segments(tokens, decode))


def segments(tokens: Sequence[int], decode: Decode) -> tuple[Segment, ...]:
    """The segment of each token behind a prompt that ends inside the judgement, by the predictor's own parser."""
    parser = Parser(Segment.JUDGE)
    found = [Segment.CONTROL] * len(tokens)
    deltas = [delta for at, text in enumerate(pieces(tokens, decode)) for delta in parser.feed(text, 1, [at])]
    for delta in (*deltas, *parser.finish()):
        for mark in delta.marks:
            assert isinstance(mark, int)  # noqa: S101 - the marks are the indices that were fed
            found[mark] = delta.segment
    return tuple(found)


def pieces(tokens: Sequence[int], decode: Decode) -> list[str]:
    """The text that each token adds: none where it is special, or a character is not whole yet."""
    found, before = [], ""
    for end in range(1, len(tokens) + 1):
        text = decode(tokens[:end])
        if text.endswith(_UNFINISHED) and end < len(tokens):
            found.append("")
            continue
        found.append(text[len(before) :])
        before = text
    return found


def token_advantages(group: Sequence[Rollout]) -> list[tuple[float, ...]]:
    """The advantage of each token of each turn: that of the part of the reward which the token earned.

    Args:
        group: Turns that answer the same question.
    """
    parts = advantages([each.reward for each in group])
    return [credit(each.segments, part) for each, part in zip(group, parts, strict=True)]


def figures(rollouts: Sequence[Rollout]) -> dict[str, float]:
    """What a step logs, each the mean over its turns."""
    outcomes = [each.outcome for each in rollouts]

    def mean(values: Sequence[float]) -> float:
        return sum(values) / len(values)

    return {
        "judge_reward": mean([each.reward.judge for each in rollouts]),
        "answer_reward": mean([each.reward.answer for each in rollouts]),
        "right_share": mean([each.answer_score for each in outcomes]),
        "tokens": mean([each.tokens for each in outcomes]),
        "think_on_share": mean([each.used is Mode.ON for each in outcomes]),
        "well_formed_share": mean([each.well_formed for each in outcomes]),
    }
