"""Mode labels by majority vote: thinking is on where it makes answers right that are wrong without it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

from kat.usage_event import Mode
from kat_predictor.autothink.instruction_rule import Decided
from kat_training.sample import NATURAL_JUDGEMENT, Sample

_DECIDED: Final = {"confirmed", "turned on", "turned off"}
MARGIN: Final = 0.25
"""What thinking has to gain, as a share of the answers."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One sampled answer in a forced mode."""

    right: bool
    tokens: int
    """Of its completion."""


@dataclass(frozen=True, slots=True)
class Tally:
    """The trials of one mode."""

    passed: int
    trials: int
    tokens: int
    """Of all trials."""

    @property
    def pass_rate(self) -> Fraction:
        return Fraction(self.passed, self.trials)

    @property
    def mean_tokens(self) -> Fraction:
        return Fraction(self.tokens, self.trials)


@dataclass(frozen=True, slots=True)
class Label:
    """The vote on one question."""

    mode: Decided
    on: Tally
    off: Tally

    @property
    def gain(self) -> Fraction:
        """Share of the answers that thinking makes right, less those it makes wrong."""
        return self.on.pass_rate - self.off.pass_rate

    @property
    def extra_tokens(self) -> Fraction:
        """What thinking costs, in tokens an answer."""
        return self.on.mean_tokens - self.off.mean_tokens

    @property
    def solved(self) -> bool:
        """Some answer was right: a question that nobody solved says nothing of modes."""
        return bool(self.on.passed or self.off.passed)


def vote(
    on: Sequence[Trial], off: Sequence[Trial], *, margin: float = MARGIN, gain_per_thousand_tokens: float = 0.0
) -> Label:
    """Label a question by its trials in both modes.

    Thinking wins where its pass rate is higher by the margin, and by `gain_per_thousand_tokens` for every thousand
    tokens that it takes more; anything else, ties among it, is think-off.

    Args:
        on: Answers sampled with thinking.
        off: Answers sampled without.
        margin: Least gain, 0 to 1; with 0, thinking has to be better all the same.
        gain_per_thousand_tokens: What a thousand tokens have to buy; 0 counts right answers alone.

    Raises:
        ValueError: A mode has no trial, or the margin or the price is out of range.
    """
    if not on or not off:
        raise ValueError("each mode needs a trial")
    if not 0 <= margin <= 1 or gain_per_thousand_tokens < 0:
        raise ValueError("the margin is a share, and the price is not negative")
    label = Label(Mode.OFF, _tally(on), _tally(off))
    # In fractions: 3 of 5 less 2 of 5 is a fifth, which it is not in floats.
    needed = _exact(margin) + _exact(gain_per_thousand_tokens) * max(label.extra_tokens, Fraction(0)) / 1000
    return replace(label, mode=Mode.ON) if label.gain > 0 and label.gain >= needed else label


def relabel(sample: Sample, label: Label) -> Sample:
    """The sample in the mode that the vote gave it; an instruction in its words stays above any vote.

    Raises:
        ValueError: Thinking won, and the sample has no working to think.
    """
    if sample.mode_from == "instruction":
        return sample
    if label.mode is Mode.ON and not sample.working.strip():
        raise ValueError(f"sample {sample.id} has no working")
    agreed = sample.mode is label.mode
    judgement = sample.judgement if agreed else NATURAL_JUDGEMENT[sample.language, label.mode]
    return replace(sample, mode=label.mode, mode_from="vote", judgement=judgement)


def relabel_all(samples: Sequence[Sample], labels: Mapping[str, Label]) -> tuple[list[Sample], Counter[str]]:
    """The samples in the modes that their votes gave them, and what became of how many.

    One whose question nobody solved, or that has nothing to think, stays as it is, as one does that has no label.
    """
    relabelled, counts = [], Counter[str]()
    for sample in samples:
        label = labels.get(sample.id)
        outcome = _outcome(sample, label)
        counts[outcome] += 1
        relabelled.append(relabel(sample, label) if label is not None and outcome in _DECIDED else sample)
    return relabelled, counts


def _outcome(sample: Sample, label: Label | None) -> str:
    if label is None or sample.mode_from == "instruction":
        return "not voted on"
    if not label.solved:
        return "solved by neither mode"
    if label.mode is sample.mode:
        return "confirmed"
    if label.mode is Mode.ON:
        return "turned on" if sample.working.strip() else "nothing to think"
    return "turned off"


def _tally(trials: Sequence[Trial]) -> Tally:
    return Tally(sum(trial.right for trial in trials), len(trials), sum(trial.tokens for trial in trials))


def _exact(share: float) -> Fraction:
    """What was written, instead of the binary number next to it."""
    return Fraction(str(share))
