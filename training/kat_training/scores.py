"""Scores completions of a corpus: what `kat train eval` prints. Pure, but for the tests of code that it is handed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from kat.usage_event import Mode, ModeAsked
from kat_predictor.autothink.instruction_rule import Decided
from kat_training.checks import RunTests, is_right
from kat_training.sample import Sample


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model said to one sample's conversation."""

    mode: Mode
    answer: str
    tokens: int
    """Generated, all segments together."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One sample and what became of it."""

    sample: Sample
    mode: Mode
    right: bool
    tokens: int
    answer: str = ""

    @property
    def mode_is_right(self) -> bool:
        return self.mode is self.sample.mode

    @property
    def instructed(self) -> bool:
        return self.sample.mode_from == "instruction"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The figures of one run. None: there was no question of that kind, or nothing to choose."""

    questions: int
    mode_accuracy: float | None
    """Of the questions without an instruction: those where the model chose the mode that was due."""
    answer_accuracy: float | None
    answer_accuracy_on: float | None
    """Of the answers given after a thought."""
    answer_accuracy_off: float | None
    """Of those given at once."""
    answer_accuracy_where_on_is_due: float | None
    """Of the questions worth a thought, however they were answered: what forced think-off loses."""
    think_on_share: float | None
    tokens_per_question: float | None
    instruction_obedience: float | None
    """Of the questions with an instruction: those in the mode that it asks for."""
    dialogue_accuracy: float | None
    """Of the agent dialogues: those whose every turn was in the mode that was due."""
    answer_accuracy_by_kind: dict[str, float]


def score(sample: Sample, completion: Completion, run_tests: RunTests) -> Scored:
    """Score one completion."""
    right = is_right(sample, completion.answer, run_tests)
    return Scored(sample, completion.mode, right, completion.tokens, completion.answer)


def scores(scored: Sequence[Scored], *, asked: ModeAsked = ModeAsked.AUTO) -> Scores:
    """The figures of one run.

    Args:
        scored: One for each sample.
        asked: The mode that the run forced: with `on` or `off` nothing was the model's own choice.
    """
    chose = asked is ModeAsked.AUTO
    by_kind: defaultdict[str, list[Scored]] = defaultdict(list)
    for each in scored:
        by_kind[each.sample.kind].append(each)
    return Scores(
        questions=len(scored),
        mode_accuracy=_share([each for each in scored if not each.instructed], _mode) if chose else None,
        answer_accuracy=_share(scored, _right),
        answer_accuracy_on=_share(_in(Mode.ON, scored), _right),
        answer_accuracy_off=_share(_in(Mode.OFF, scored), _right),
        answer_accuracy_where_on_is_due=_share([each for each in scored if each.sample.mode is Mode.ON], _right),
        think_on_share=_share(scored, lambda each: each.mode is Mode.ON),
        tokens_per_question=sum(each.tokens for each in scored) / len(scored) if scored else None,
        instruction_obedience=_share([each for each in scored if each.instructed], _mode) if chose else None,
        dialogue_accuracy=_dialogues(scored) if chose else None,
        answer_accuracy_by_kind={kind: sum(map(_right, group)) / len(group) for kind, group in sorted(by_kind.items())},
    )


def _mode(each: Scored) -> bool:
    return each.mode_is_right


def _right(each: Scored) -> bool:
    return each.right


def _in(mode: Decided, scored: Iterable[Scored]) -> list[Scored]:
    return [each for each in scored if each.mode is mode]


def _share(scored: Sequence[Scored], holds: Callable[[Scored], bool]) -> float | None:
    return sum(map(holds, scored)) / len(scored) if scored else None


def _dialogues(scored: Iterable[Scored]) -> float | None:
    held: dict[str, bool] = {}
    for each in scored:
        if each.sample.dialogue is not None:
            held[each.sample.dialogue] = held.get(each.sample.dialogue, True) and each.mode_is_right
    return sum(held.values()) / len(held) if held else None
