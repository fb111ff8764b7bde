"""The rewards of Step-SRPO: one for the judge's choice, one for the answer, each credited to the tokens that earned it.

Source of the idea: arXiv 2507.08297. Its constants are not published; those here are ours.

    judge reward  = +1 for the mode that was due, -1 for the other one or none
    answer reward = answer score x mode factor - token cost
                    mode factor: 1 for the mode that was due, `needless` where a thought was not due
                    `skipped`, negative and whatever the answer, where a thought was due and left out
                    `malformed`, negative, where the turn breaks the grammar
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kat.usage_event import Mode, Segment
from kat_predictor.autothink.instruction_rule import Decided


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardWeights:
    """How much counts what.

    Raises:
        ValueError: A weight is out of its range, which would turn the order of outcomes round.
    """

    needless: float = 0.6
    """Factor on a right answer whose thought was not due; 0 to 1."""
    skipped: float = -0.5
    """Score where a thought was due and skipped; negative."""
    malformed: float = -1.0
    """Score of a turn that breaks the grammar; at most `skipped`."""
    token_cost: float = 0.1
    """Taken off a turn of `token_scale` tokens or more; 0 to less than `needless`, so that being right always pays."""
    token_scale: int = 256

    def __post_init__(self) -> None:
        if not 0 < self.needless <= 1:
            raise ValueError("needless must be above 0 and 1 at most")
        if not self.malformed <= self.skipped < 0:
            raise ValueError("skipped must be negative, and malformed no better")
        if not 0 <= self.token_cost < min(self.needless, -self.skipped):
            raise ValueError(
                "the token cost must stay below the factor of a needless thought and the score of a skipped one"
            )
        if self.token_scale <= 0:
            raise ValueError("the token scale must be positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one generated turn."""

    due: Decided
    used: Mode
    answer_score: float
    """0 to 1; 1 is right."""
    tokens: int
    well_formed: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.answer_score <= 1 or self.tokens < 0:
            raise ValueError("an answer's score is 0 to 1, and its tokens are not negative")


@dataclass(frozen=True, slots=True)
class Reward:
    """The two parts."""

    judge: float
    answer: float


DEFAULT_WEIGHTS: Final = RewardWeights()


def reward(outcome: Outcome, weights: RewardWeights = DEFAULT_WEIGHTS) -> Reward:
    """Both parts; each is in [-1 - token_cost, 1] with the default weights."""
    return Reward(judge_reward(outcome), answer_reward(outcome, weights))


def judge_reward(outcome: Outcome) -> float:
    """The intermediate reward: 1 for the mode that was due, else -1."""
    return 1.0 if outcome.used is outcome.due else -1.0


def answer_reward(outcome: Outcome, weights: RewardWeights = DEFAULT_WEIGHTS) -> float:
    """Answer score times mode correctness, less a small cost of tokens."""
    cost = weights.token_cost * min(1.0, outcome.tokens / weights.token_scale)
    return _score(outcome, weights) - cost


def _score(outcome: Outcome, weights: RewardWeights) -> float:
    if not outcome.well_formed or outcome.used is Mode.UNDECIDED:
        return weights.malformed
    if outcome.due is Mode.ON and outcome.used is Mode.OFF:
        return weights.skipped
    factor = 1.0 if outcome.used is outcome.due else weights.needless
    return outcome.answer_score * factor


def credit(segments: Sequence[Segment], given: Reward) -> tuple[float, ...]:
    """The reward of each generated token.

    The judge's part goes to the judgement up to its mode tag, for the tag is where the choice is made; the answer's
    part to all that follows. A CONTROL token is therefore the judge's as long as neither thought nor answer has begun.

    Args:
        segments: The segment of each token, in order, as the predictor's parser tells it.
        given: What the turn earned.
    """
    begun = next((at for at, each in enumerate(segments) if each in (Segment.THINK, Segment.ANSWER)), len(segments))
    return tuple(given.judge if at < begun else given.answer for at in range(len(segments)))


def advantages(group: Sequence[Reward], *, epsilon: float = 1e-4) -> list[Reward]:
    """GRPO's advantages, each part by itself: distance from the group's mean in standard deviations.

    A group whose answers all earned the same teaches nothing: zeros.
    """
    judges = _normalised([each.judge for each in group], epsilon)
    answers = _normalised([each.answer for each in group], epsilon)
    return [Reward(judge, answer) for judge, answer in zip(judges, answers, strict=True)]


def _normalised(values: Sequence[float], epsilon: float) -> list[float]:
    if not values or max(values) == min(values):
        return [0.0] * len(values)
    mean = math.fsum(values) / len(values)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
    return [(value - mean) / (deviation + epsilon) for value in values]
