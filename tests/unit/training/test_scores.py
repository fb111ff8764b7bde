"""The figures of an evaluation, each over the questions that it speaks of."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from kat.usage_event import Mode, ModeAsked
from kat_training.report import as_json, as_table
from kat_training.sample import Sample
from kat_training.scores import Completion, Scored, score, scores
from tests.fakes.training_samples import CHAIN, SUM, never_run

TOLD_OFF = replace(CHAIN, mode=Mode.OFF, mode_from="instruction")


def scored(sample: Sample, mode: Mode, *, right: bool = True, tokens: int = 10) -> Scored:
    return Scored(sample, mode, right, tokens)


FOUR = [
    scored(SUM, Mode.OFF, tokens=10),
    scored(CHAIN, Mode.ON, tokens=50),
    scored(CHAIN, Mode.OFF, right=False, tokens=10),
    scored(TOLD_OFF, Mode.ON, tokens=30),
]


def test_an_answer_is_scored_against_its_reference() -> None:
    assert [score(SUM, Completion(Mode.ON, answer, 9), never_run).right for answer in ("12", "13")] == [True, False]


@pytest.mark.parametrize(
    ("figure", "expected"),
    [
        ("questions", 4),
        ("mode_accuracy", 2 / 3),
        ("answer_accuracy", 3 / 4),
        ("answer_accuracy_on", 1.0),
        ("answer_accuracy_off", 1 / 2),
        ("answer_accuracy_where_on_is_due", 1 / 2),
        ("think_on_share", 1 / 2),
        ("tokens_per_question", 25.0),
        ("instruction_obedience", 0.0),
        ("dialogue_accuracy", None),
        ("answer_accuracy_by_kind", {"arithmetic": 0.75}),
    ],
)
def test_each_figure_is_over_its_own_questions(figure: str, expected: Any) -> None:
    assert getattr(scores(FOUR), figure) == expected


@pytest.mark.parametrize("figure", ["mode_accuracy", "instruction_obedience", "dialogue_accuracy"])
def test_a_forced_run_chose_nothing(figure: str) -> None:
    assert getattr(scores(FOUR, asked=ModeAsked.ON), figure) is None


def test_a_dialogue_counts_when_all_of_its_turns_are_in_their_mode() -> None:
    turns = [
        scored(replace(sample, dialogue=name), mode)
        for name, sample, mode in (
            ("whole", SUM, Mode.OFF),
            ("whole", CHAIN, Mode.ON),
            ("broken", SUM, Mode.ON),
            ("broken", CHAIN, Mode.ON),
        )
    ]
    assert scores(turns).dialogue_accuracy == 0.5


def test_no_questions_have_no_figures() -> None:
    nothing = scores([])
    assert (nothing.questions, nothing.answer_accuracy, nothing.tokens_per_question) == (0, None, None)


def test_json_has_the_judging_run_at_the_top_and_each_run_by_its_mode() -> None:
    written = as_json("m", {ModeAsked.AUTO: scores(FOUR), ModeAsked.OFF: scores(FOUR[:1], asked=ModeAsked.OFF)})
    assert (written["model"], written["mode_accuracy"], written["answer_accuracy"]) == ("m", 2 / 3, 0.75)
    assert {mode: run["questions"] for mode, run in written["runs"].items()} == {"auto": 4, "off": 1}


def test_the_table_has_a_column_for_each_run_and_a_row_for_each_figure() -> None:
    table = as_table("m", {ModeAsked.AUTO: scores(FOUR), ModeAsked.ON: scores(FOUR, asked=ModeAsked.ON)})
    console = Console(width=100, file=io.StringIO())
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert [line.split() for line in lines if "mode_accuracy" in line] == [
        ["│", "mode_accuracy", "│", "66.7%", "│", "-", "│"]
    ]


def test_another_model_s_forced_runs_stand_beside() -> None:
    forced = {ModeAsked.OFF: scores(FOUR[:1], asked=ModeAsked.OFF)}
    written = as_json("m", {ModeAsked.AUTO: scores(FOUR)}, ("base", forced))
    assert (written["against"]["model"], written["against"]["runs"]["off"]["questions"]) == ("base", 1)
    table = as_table("m", {ModeAsked.AUTO: scores(FOUR)}, ("base", forced))
    assert [column.header for column in table.columns] == ["", "as it judges", "base, never thinking"]
