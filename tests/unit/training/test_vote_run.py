"""Ballots are collected part by part: every question in both modes, and nothing asked twice after an interruption."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from kat.usage_event import Mode, ModeAsked
from kat_training.errors import RunError, SubjectError
from kat_training.labels import Trial
from kat_training.sample import Sample
from kat_training.scores import Completion
from kat_training.vote_run import PART, Ballot, ballots
from tests.fakes.training_samples import CHAIN, never_run

QUESTIONS = [replace(CHAIN, id=f"q{number}") for number in range(PART + 3)]


class Thinker:
    """Right when it thinks, wrong when it does not; told to, it fails at one question."""

    def __init__(self, failing: str | None = None) -> None:
        self.asked: Counter[tuple[str, ModeAsked]] = Counter()
        self._failing = failing

    async def complete(self, sample: Sample, asked: ModeAsked) -> Completion:
        if sample.id == self._failing:
            raise SubjectError(f"no answer to {sample.id}")
        self.asked[sample.id, asked] += 1
        thinks = asked is ModeAsked.ON
        return Completion(Mode(asked), sample.answer if thinks else "0", 40 if thinks else 5)


async def collected(subject: Thinker, folder: Path, told: list[None] | None = None) -> dict[str, Ballot]:
    progress = [] if told is None else told
    return await ballots(
        subject, QUESTIONS, folder, trials=2, run_tests=never_run, at_once=4, progress=lambda: progress.append(None)
    )


async def test_every_question_is_tried_in_both_modes(tmp_path: Path) -> None:
    told: list[None] = []
    found = await collected(Thinker(), tmp_path, told)
    assert found == {
        question.id: {Mode.ON: [Trial(True, 40)] * 2, Mode.OFF: [Trial(False, 5)] * 2} for question in QUESTIONS
    }
    assert len(told) == 4 * len(QUESTIONS)


async def test_what_was_asked_before_an_interruption_is_not_asked_again(tmp_path: Path) -> None:
    with pytest.raises(SubjectError):
        await collected(Thinker(failing=QUESTIONS[-1].id), tmp_path)
    second = Thinker()
    told: list[None] = []
    found = await collected(second, tmp_path, told)
    assert {question for question, _ in second.asked} == {question.id for question in QUESTIONS[PART:]}
    assert (found, len(told)) == (await collected(Thinker(), tmp_path / "whole"), 4 * len(QUESTIONS))


async def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    await collected(Thinker(), tmp_path)
    (tmp_path / "00000.json").write_text('{"q0": {"on": [[1')
    with pytest.raises(RunError, match=r"00000\.json is damaged"):
        await collected(Thinker(), tmp_path)


async def test_a_folder_that_cannot_be_written_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "votes").touch()
    with pytest.raises(RunError, match="cannot be written"):
        await collected(Thinker(), tmp_path / "votes")
