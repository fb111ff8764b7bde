"""A teacher's run keeps what its critic is content with; everything else is a counted drop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from kat_training.chat_endpoint import ChatEndpoint, Endpoint
from kat_training.errors import TeacherError
from kat_training.journal import Journal, Spent, open_journal
from kat_training.store import sample_of
from kat_training.teacher import Question
from kat_training.teacher_run import TeacherPlan, TeacherRun
from tests.fakes.openai_models import Models
from tests.fakes.training_samples import never_run, teacher

QUESTION = Question(question="What is 7 + 5?", check="number", reference="12")
THOUGHT = {"judgement": "A sum.", "needs_thinking": False, "reasoning": "7 + 5 = 12.", "answer": "12"}
Answering = Callable[[str, dict[str, Any]], dict[str, Any] | int]


async def taught(
    path: Path, transport: httpx.AsyncBaseTransport, questions: list[Question], seen: Callable[[Journal], Any]
) -> Any:
    """What `seen` says of the journal after a run."""
    with open_journal(path / "journal", "test") as journal:
        async with httpx.AsyncClient(transport=transport) as client:
            run = TeacherRun(
                ChatEndpoint(Endpoint("http://teacher/v1", "big"), client),
                journal,
                TeacherPlan(),
                run_tests=never_run,
                progress=lambda: None,
            )
            await run.run(questions, at_once=2)
        return seen(journal)


async def dropped(path: Path, answering: Answering) -> dict[str, int]:
    return dict(await taught(path, Models(answering), [QUESTION], lambda journal: journal.drops))


async def test_a_sample_that_the_critic_is_content_with_is_kept(tmp_path: Path) -> None:
    [entry] = await taught(
        tmp_path, Models(teacher(thought=THOUGHT, scores=[9])), [QUESTION], lambda journal: journal.entries
    )
    sample = sample_of(entry.sample, tmp_path)
    assert (sample.question, sample.judgement, sample.answer, entry.rounds) == ("What is 7 + 5?", "A sum.", "12", 1)


async def test_a_low_score_goes_back_to_the_thinker(tmp_path: Path) -> None:
    models = Models(teacher(thought=THOUGHT, scores=[4, 9]))
    [entry] = await taught(tmp_path, models, [QUESTION], lambda journal: journal.entries)
    assert (entry.dropped, entry.rounds) == (None, 2)
    assert ["Look again." in body["messages"][-1]["content"] for _, body, _ in models.sent] == [
        False, False, False, True, False
    ]  # fmt: skip


async def test_a_sample_that_never_satisfies_is_dropped(tmp_path: Path) -> None:
    assert await dropped(tmp_path, teacher(thought=THOUGHT, scores=[7.9])) == {"below_threshold": 1}


@pytest.mark.parametrize(
    ("thought", "reason"),
    [
        ("I would rather not.", "garbage"),
        (THOUGHT | {"answer": "13"}, "wrong_answer"),
        (THOUGHT | {"answer": " "}, "empty"),
        (THOUGHT | {"judgement": "Easy </judge>"}, "broken_tags"),
        (THOUGHT | {"needs_thinking": True, "reasoning": ""}, "empty"),
    ],
)
async def test_a_sample_with_a_fault_is_dropped_by_its_name(tmp_path: Path, thought: Any, reason: str) -> None:
    assert await dropped(tmp_path, teacher(thought=thought, scores=[10])) == {reason: 1}


async def test_a_server_error_is_a_drop_and_the_run_goes_on(tmp_path: Path) -> None:
    good = teacher(thought=THOUGHT, scores=[9])

    def answering(host: str, body: dict[str, Any]) -> dict[str, Any] | int:
        return 500 if "Berlin" in body["messages"][-1]["content"] else good(host, body)

    questions = [Question(question="Where is Berlin?"), QUESTION]
    seen = await taught(
        tmp_path, Models(answering), questions, lambda journal: [entry.dropped for entry in journal.entries]
    )
    assert sorted(seen, key=str) == [None, "failed"]


async def test_a_time_out_is_a_drop_that_the_next_run_tries_again(tmp_path: Path) -> None:
    def too_late(_: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow")

    first = await taught(tmp_path, httpx.MockTransport(too_late), [QUESTION], lambda journal: dict(journal.drops))
    models = Models(teacher(thought=THOUGHT, scores=[9]))
    second = await taught(tmp_path, models, [QUESTION], lambda journal: dict(journal.drops))
    assert (first, second) == ({"timeout": 1}, {})


async def test_a_run_that_goes_on_asks_nothing_twice(tmp_path: Path) -> None:
    await taught(tmp_path, Models(teacher(thought=THOUGHT, scores=[9])), [QUESTION], lambda _: None)
    models = Models(teacher(thought=THOUGHT, scores=[9]))
    await taught(tmp_path, models, [QUESTION], lambda _: None)
    assert models.sent == []


async def test_a_question_that_stands_twice_is_asked_once(tmp_path: Path) -> None:
    models = Models(teacher(thought=THOUGHT, scores=[9]))
    await taught(tmp_path, models, [QUESTION, QUESTION], lambda _: None)
    assert len(models.sent) == 3


async def test_usage_is_summed_also_of_what_was_dropped(tmp_path: Path) -> None:
    models = Models(teacher(thought=THOUGHT, scores=[1]))
    spent = await taught(tmp_path, models, [QUESTION], lambda journal: journal.spent)
    assert spent == Spent(calls=5, prompt_tokens=50, completion_tokens=1 + 2 * (20 + 5))


async def test_a_teacher_that_refuses_us_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match="401"):
        await taught(tmp_path, Models(lambda _, __: 401), [QUESTION], lambda _: None)
