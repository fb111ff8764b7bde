"""What the three parts are asked, and how their replies become a sample."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest
from pydantic import ValidationError

from kat.usage_event import Mode
from kat_training.teacher import (
    Garbage,
    Question,
    Thought,
    critic_messages,
    read_thought,
    read_verdict,
    sample_from,
    solver_messages,
    thinker_messages,
)

QUESTION = Question(question="What is 7 + 5?", check="number", reference="12")
THOUGHT = Thought(judgement="A sum.", needs_thinking=True, reasoning="7 + 5 = 12.", answer="12 apples")


def test_the_solver_gets_the_question_alone() -> None:
    assert solver_messages(QUESTION)[-1].content == "What is 7 + 5?"


@pytest.mark.parametrize("remark", [None, "Look again."])
def test_the_thinker_gets_the_draft_and_what_the_critic_had_against_it(remark: str | None) -> None:
    given = json.loads(thinker_messages(QUESTION, "13", remark)[-1].content)
    assert given == {"question": "What is 7 + 5?", "draft": "13"} | ({"critic": remark} if remark else {})


def test_the_thinker_is_not_told_the_known_answer() -> None:
    assert "12" not in thinker_messages(QUESTION, "13", None)[-1].content


def test_the_critic_knows_it() -> None:
    assert json.loads(critic_messages(QUESTION, THOUGHT)[-1].content)["known_answer"] == "12"


@pytest.mark.parametrize("around", ["{}", "```json\n{}\n```", "Here it is: {} Done."], ids=["bare", "fenced", "chatty"])
def test_a_thought_is_found_in_what_is_said_around_it(around: str) -> None:
    assert read_thought(around.replace("{}", THOUGHT.model_dump_json())) == THOUGHT


@pytest.mark.parametrize(
    "text", ["", "I cannot.", "{", '{"answer": "12"}', "[1]", '{"judgement": "", "needs_thinking": 1}']
)
def test_anything_else_is_garbage(text: str) -> None:
    with pytest.raises(Garbage, match="no thought"):
        read_thought(text)


@pytest.mark.parametrize("score", [-1, 11, "high", None])
def test_a_score_outside_of_its_scale_is_garbage(score: Any) -> None:
    with pytest.raises(Garbage, match="no verdict"):
        read_verdict(json.dumps({"score": score}))


def test_a_sample_has_the_known_answer_in_its_known_form_and_is_only_learnt_from() -> None:
    sample = sample_from(QUESTION, THOUGHT)
    assert (sample.answer, sample.split, sample.mode, sample.working) == ("12", "train", Mode.ON, "7 + 5 = 12.")


@pytest.mark.parametrize(
    ("question", "needs_thinking", "mode", "mode_from"),
    [
        ("What is 7 + 5?", False, Mode.OFF, "prior"),
        ("What is 7 + 5?", True, Mode.ON, "prior"),
        ("Answer directly: what is 7 + 5?", True, Mode.OFF, "instruction"),
        ("请一步一步仔细推理：7 加 5", False, Mode.ON, "instruction"),
    ],
)
def test_an_instruction_in_the_question_overrules_the_thinker(
    question: str, needs_thinking: bool, mode: Mode, mode_from: str
) -> None:
    sample = sample_from(Question(question=question), THOUGHT.model_copy(update={"needs_thinking": needs_thinking}))
    assert (sample.mode, sample.mode_from) == (mode, mode_from)


def test_a_question_has_the_same_id_in_every_file() -> None:
    assert Question(question=" What is 7 + 5? ", kind="other").id == QUESTION.id


@pytest.mark.parametrize(
    "line", [{}, {"question": " "}, {"question": "x", "check": "code"}, {"question": "x", "check": "keyword"}, {"question": "x", "typo": 1}]
)  # fmt: skip
def test_a_line_that_cannot_be_taught_is_refused(line: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Question.model_validate(line)


def test_a_taught_sample_is_plain_data() -> None:
    assert asdict(sample_from(QUESTION, THOUGHT))["template"] == "teacher/teacher"
