"""The vote thinks where that makes answers right, and saves tokens everywhere else."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kat.usage_event import Mode
from kat_training.labels import Label, Tally, Trial, relabel, relabel_all, vote
from kat_training.quality import fault
from kat_training.sample import Sample
from tests.fakes.training_samples import CHAIN, SUM, never_run

unhurried = settings(deadline=None, max_examples=40)

TRIALS = st.lists(st.builds(Trial, right=st.booleans(), tokens=st.integers(1, 500)), min_size=1, max_size=9)
MARGINS = st.sampled_from([0.0, 0.1, 0.2, 0.25, 0.5, 1.0])


def trials(passed: int, of: int, tokens: int = 10) -> list[Trial]:
    return [Trial(number < passed, tokens) for number in range(of)]


@pytest.mark.parametrize(
    ("on", "off", "margin", "mode"),
    [
        (5, 0, 0.2, Mode.ON),
        (3, 2, 0.2, Mode.ON),
        (3, 2, 0.3, Mode.OFF),
        (5, 5, 0.0, Mode.OFF),
        (0, 0, 0.0, Mode.OFF),
        (2, 3, 0.0, Mode.OFF),
        (1, 0, 0.0, Mode.ON),
        (5, 0, 1.0, Mode.ON),
        (4, 0, 1.0, Mode.OFF),
    ],
)
def test_thinking_has_to_win_by_the_margin(on: int, off: int, margin: float, mode: Mode) -> None:
    assert vote(trials(on, 5), trials(off, 5), margin=margin).mode is mode


def test_the_label_tells_gain_and_cost() -> None:
    label = vote(trials(4, 4, tokens=60), trials(1, 4, tokens=10))
    assert (label.gain, label.extra_tokens) == (Fraction(3, 4), Fraction(50))


def test_dear_thinking_has_to_win_by_more() -> None:
    on, off = trials(4, 5, tokens=1_010), trials(2, 5, tokens=10)
    modes = [vote(on, off, margin=0.1, gain_per_thousand_tokens=price).mode for price in (0.2, 0.5)]
    assert modes == [Mode.ON, Mode.OFF]


@unhurried
@given(on=TRIALS, margin=MARGINS)
def test_a_tie_is_think_off(on: list[Trial], margin: float) -> None:
    assert vote(on, on, margin=margin).mode is Mode.OFF


@unhurried
@given(on=TRIALS, off=TRIALS, margin=MARGINS)
def test_the_order_of_trials_does_not_matter(on: list[Trial], off: list[Trial], margin: float) -> None:
    assert vote(on[::-1], off[::-1], margin=margin) == vote(on, off, margin=margin)


@unhurried
@given(on=TRIALS, off=TRIALS, margin=MARGINS)
def test_both_modes_never_win(on: list[Trial], off: list[Trial], margin: float) -> None:
    assert Mode.OFF in {vote(on, off, margin=margin).mode, vote(off, on, margin=margin).mode}


@unhurried
@given(on=TRIALS, off=TRIALS, margin=MARGINS)
def test_one_more_right_thought_never_turns_thinking_off(on: list[Trial], off: list[Trial], margin: float) -> None:
    before = vote(on, off, margin=margin)
    after = vote([*on, Trial(right=True, tokens=1)], off, margin=margin)
    assert not (before.mode is Mode.ON and after.mode is Mode.OFF)


@unhurried
@given(on=TRIALS, off=TRIALS)
def test_a_wider_margin_never_turns_thinking_on(on: list[Trial], off: list[Trial]) -> None:
    modes = [vote(on, off, margin=margin).mode for margin in (0.0, 0.1, 0.25, 0.5, 1.0)]
    assert modes == sorted(modes, key=[Mode.ON, Mode.OFF].index)


@pytest.mark.parametrize(("on", "off", "margin"), [(0, 3, 0.1), (3, 0, 0.1), (3, 3, -0.1), (3, 3, 1.1)])
def test_a_vote_without_voters_or_with_a_margin_that_is_none_is_refused(on: int, off: int, margin: float) -> None:
    with pytest.raises(ValueError, match=r"trial|margin"):
        vote(trials(0, on), trials(0, off), margin=margin)


def test_a_question_that_nobody_solved_says_so() -> None:
    assert [vote(trials(0, 3), trials(off, 3)).solved for off in (0, 1)] == [False, True]


THINK = Label(Mode.ON, Tally(4, 4, 80), Tally(0, 4, 8))
ANSWER = Label(Mode.OFF, Tally(4, 4, 80), Tally(4, 4, 8))


def test_a_sample_takes_the_mode_of_its_vote_and_stays_fit() -> None:
    thinking, answering = relabel(SUM, THINK), relabel(CHAIN, ANSWER)
    assert (thinking.mode, thinking.thought, answering.mode, answering.thought) == (Mode.ON, SUM.working, Mode.OFF, "")
    assert [fault(sample, never_run) for sample in (thinking, answering)] == [None, None]


def test_a_vote_that_agrees_keeps_the_judge_sentence() -> None:
    voted = relabel(CHAIN, THINK)
    assert (voted.judgement, voted.mode_from) == (CHAIN.judgement, "vote")


def test_an_instruction_stays_above_the_vote() -> None:
    told = replace(CHAIN, mode_from="instruction")
    assert relabel(told, ANSWER) is told


def test_thinking_without_a_thought_to_learn_is_refused() -> None:
    with pytest.raises(ValueError, match="no working"):
        relabel(replace(SUM, working=""), THINK)


ON_WINS = vote(trials(4, 4), trials(0, 4))
OFF_WINS = vote(trials(4, 4), trials(4, 4))
NOBODY_KNOWS = vote(trials(0, 4), trials(0, 4))


@pytest.mark.parametrize(
    ("sample", "label", "outcome", "mode"),
    [
        (SUM, OFF_WINS, "confirmed", Mode.OFF),
        (SUM, ON_WINS, "turned on", Mode.ON),
        (CHAIN, OFF_WINS, "turned off", Mode.OFF),
        (CHAIN, NOBODY_KNOWS, "solved by neither mode", Mode.ON),
        (replace(SUM, working=" "), ON_WINS, "nothing to think", Mode.OFF),
        (replace(SUM, mode_from="instruction"), ON_WINS, "not voted on", Mode.OFF),
        (CHAIN, None, "not voted on", Mode.ON),
    ],
)
def test_a_corpus_takes_the_modes_of_its_votes_and_counts_them(
    sample: Sample, label: Label | None, outcome: str, mode: Mode
) -> None:
    labels = {} if label is None else {sample.id: label}
    (relabelled,), counts = relabel_all([sample], labels)
    assert (counts, relabelled.mode) == ({outcome: 1}, mode)
