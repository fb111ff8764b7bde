"""`kat train` makes corpora, has a teacher add to them, checks them, and evaluates what is served."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kat_training.cli import train
from kat_training.store import read_split, write_corpus
from tests.fakes.openai_models import completion, model_server
from tests.fakes.training_samples import CHAIN, SUM, teacher

THOUGHT = {"judgement": "A sum.", "needs_thinking": False, "reasoning": "7 + 5 = 12.", "answer": "12"}


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(train, [str(argument) for argument in arguments])


def make(out: Path, *more: str | Path) -> Result:
    return run("data", "make", "--out", out, "--train", "40", "--held-out", "20", "--instruction-share", "0.1", *more)


def test_kat_has_the_command() -> None:
    [point] = metadata.entry_points(group="kat.commands", name="train")
    assert point.load() is train


def test_make_writes_a_corpus_that_check_finds_fit(tmp_path: Path) -> None:
    made = make(tmp_path / "corpus", "--dialogue-share", "0")
    assert made.output.startswith("60 samples in "), made.output
    assert (len(read_split(tmp_path / "corpus", "train")), (tmp_path / "corpus" / "README.md").exists()) == (40, True)


def test_check_finds_nothing_in_a_good_corpus(tmp_path: Path) -> None:
    write_corpus(tmp_path, [SUM, replace(CHAIN, split="held_out")], "card")
    checked = run("data", "check", tmp_path)
    assert (checked.exit_code, checked.output) == (0, "2 samples; faults: none\n")


@pytest.mark.parametrize(
    ("sample", "name"),
    [
        (replace(CHAIN, split="held_out", answer=""), "1 empty"),
        (replace(SUM, split="held_out", template="x"), "1 duplicate"),
        (replace(CHAIN, split="held_out", template=SUM.template), "1 template_in_both_splits"),
    ],
)
def test_check_names_what_is_unfit_and_fails(tmp_path: Path, sample: Any, name: str) -> None:
    write_corpus(tmp_path, [SUM, sample], "card")
    checked = run("data", "check", tmp_path)
    assert (checked.exit_code, checked.output) == (1, f"2 samples; faults: {name}\n")


def test_a_corpus_that_is_not_there_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    checked = run("data", "check", tmp_path)
    assert (checked.exit_code, "kat train data make" in checked.output) == (2, True)


def test_a_teachers_samples_join_a_corpus_with_their_costs(tmp_path: Path) -> None:
    questions, journal = tmp_path / "questions.jsonl", tmp_path / "journal"
    questions.write_text('{"question": "How many are seven and five?", "reference": "12", "check": "number"}\n')
    answering = teacher(thought=THOUGHT, scores=[9])

    def answer(host: str, body: dict[str, Any]) -> dict[str, Any]:
        said = answering(host, body)
        assert isinstance(said, dict)
        return said

    with model_server(answer) as address:
        taught = run(
            "data",
            "teach",
            "--questions",
            questions,
            "--url",
            f"{address}/teacher",
            "--model",
            "big",
            "--journal",
            journal,
        )
    assert "1 of 1 questions kept; dropped: none\n3 calls, 30 prompt tokens, 26 completion tokens\n" in taught.output
    make(tmp_path / "corpus", "--teacher-journal", journal)
    assert read_split(tmp_path / "corpus", "train")[-1].question == "How many are seven and five?"
    assert "| completion_tokens | 26 |" in (tmp_path / "corpus" / "README.md").read_text()


def test_a_bad_line_of_a_questions_file_is_named(tmp_path: Path) -> None:
    questions = tmp_path / "questions.jsonl"
    questions.write_text('{"question": "fine"}\n\n{"question": ""}\n')
    refused = run(
        "data", "teach", "--questions", questions, "--url", "http://x", "--model", "m", "--journal", tmp_path / "j"
    )
    assert (refused.exit_code, "line 3" in refused.output) == (2, True)


def test_eval_prints_the_figures_of_each_mode_of_a_served_model(tmp_path: Path) -> None:
    write_corpus(tmp_path, [replace(SUM, split="held_out"), replace(CHAIN, split="held_out")], "card")
    with model_server(lambda _, __: completion("12", tokens=4, mode="off")) as address:
        done = run(
            "eval", "--corpus", tmp_path, "--url", f"{address}/ours", "--model", "m", "--mode", "auto", "--mode", "off", "--json",
            "--answers", tmp_path / "answers.jsonl",
        )  # fmt: skip
    report = json.loads(done.stdout)
    assert (report["mode_accuracy"], report["answer_accuracy"], report["tokens_per_question"]) == (0.5, 0.5, 4.0)
    assert report["runs"]["off"]["mode_accuracy"] is None
    answers = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text("utf-8").splitlines()]
    assert [(each["asked"], each["expected"], each["answer"], each["right"]) for each in answers] == [
        ("auto", SUM.answer, "12", True),
        ("auto", CHAIN.answer, "12", False),
        ("off", SUM.answer, "12", True),
        ("off", CHAIN.answer, "12", False),
    ]
