"""Every template makes samples that are fit to learn from, whatever is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from kat.usage_event import Mode
from kat_predictor.autothink.instruction import explicit_instruction
from kat_training.catalogue import FAMILIES
from kat_training.checks import is_right
from kat_training.corpus import sample_id
from kat_training.dialogue_scripts import SCRIPTS, Script
from kat_training.dialogues import conversation, draw_dialogue
from kat_training.family import Family
from kat_training.instructed import PHRASES, instruct
from kat_training.quality import fault
from kat_training.sample import Message, Sample
from tests.fakes.training_samples import SUM

_DRAWS = 8


def run_here(code: str, tests: Sequence[str]) -> bool:
    """The templates' own code is harmless, and processes are slow."""
    names: dict[str, Any] = {}
    exec(code, names)
    return all(eval(test, names) for test in tests)


def drawn(family: Family) -> list[Sample]:
    rng = Random(f"templates {family.name}")
    samples = []
    for template in family.templates():
        for _ in range(_DRAWS):
            problem = family.draw(rng)
            messages = (Message("user", template.question(problem)),)
            samples.append(
                Sample(
                    id=sample_id(messages),
                    split="train",
                    template=template.name,
                    family=family.name,
                    kind=family.kind,
                    language=family.language,
                    difficulty=family.difficulty,
                    mode=family.mode,
                    mode_from="prior",
                    messages=messages,
                    judgement=family.judgement,
                    working=problem.working,
                    answer=problem.answer,
                    check=family.check,
                    accepted=problem.accepted,
                    tests=problem.tests,
                )
            )
    return samples


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_draw_of_a_family_is_fit(family: Family) -> None:
    assert [(sample.question, found) for sample in drawn(family) if (found := fault(sample, run_here))] == []


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_turns_are_short_enough_for_a_small_model(family: Family) -> None:
    assert max(len(sample.completion) for sample in drawn(family)) < 400


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_prior_thinks_where_it_is_not_easy(family: Family) -> None:
    assert (family.mode is Mode.ON) is (family.difficulty != "easy")


def test_family_names_are_unique() -> None:
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)


def test_a_wrong_number_would_be_found() -> None:
    assert not is_right(SUM, "13", run_here)


@pytest.mark.parametrize(
    ("language", "mode", "phrase"),
    [(language, mode, phrase) for (language, mode), phrases in PHRASES.items() for phrase in phrases],
)
def test_the_predictor_reads_every_instruction_as_it_is_meant(language: str, mode: Mode, phrase: str) -> None:
    question = "What is 7 + 5?" if language == "en" else "7 加 5 是几？"
    assert explicit_instruction(phrase.format(question)) is mode


def test_an_instruction_overrules_the_prior() -> None:
    told = instruct(SUM, Mode.ON, PHRASES["en", Mode.ON][0])
    assert (told.mode, told.mode_from, told.thought) == (Mode.ON, "instruction", "7 + 5 = 12.")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_an_agent_dialogue_goes_off_on_off(script: Script) -> None:
    assert [turn.mode for turn in draw_dialogue(script, Random(1))] == [Mode.OFF, Mode.ON, Mode.OFF]


def test_later_turns_of_a_dialogue_hold_the_earlier_answers_without_thoughts() -> None:
    turns = draw_dialogue(SCRIPTS[0], Random(1))
    contents = [message.content for message in conversation(turns)]
    assert contents == [turns[0].question, turns[0].answer, turns[1].question, turns[1].answer, turns[2].question]
