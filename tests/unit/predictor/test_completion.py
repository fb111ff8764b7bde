"""Completions beside the API: contexts of odd sizes, and consumers that stop early."""

from contextlib import aclosing
from pathlib import Path

import pytest

from kat.usage_event import Status
from kat_predictor.autothink.judge import judge_messages
from kat_predictor.chat_template import Message
from kat_predictor.errors import StartupError
from kat_predictor.events import Started
from kat_predictor.job import ChatPrompt, Job
from tests.fakes.engine import ScriptedEngine
from tests.fakes.predictor import MODEL, running_predictor
from tests.fakes.tenants import a_caller


def _scaffold_tokens(question: str = "") -> int:
    engine = ScriptedEngine(judges=False)
    return len(engine.encode(engine.render_chat(judge_messages(question), None)))


async def test_a_long_question_is_shortened_for_the_emulated_judge_and_not_for_the_answer(tmp_path: Path) -> None:
    question = "word " * 300
    engine = ScriptedEngine(["Hm.\n", "x"], judges=False, max_model_len=_scaffold_tokens() + 200)
    assert _scaffold_tokens(question) > engine.max_model_len
    async with running_predictor(tmp_path, engine) as predictor:
        response = await predictor.chat(question, max_tokens=10)
    judging, _, answering = engine.calls
    assert response.status_code == 200
    assert "word word" in judging.prompt
    assert question not in judging.prompt
    assert question in answering.prompt


async def test_a_context_without_room_for_the_emulated_judge_is_found_at_the_start(tmp_path: Path) -> None:
    engine = ScriptedEngine(judges=False, max_model_len=_scaffold_tokens())
    with pytest.raises(StartupError, match="KAT_MAX_MODEL_LEN"):
        async with running_predictor(tmp_path, engine):
            pass


async def test_a_text_long_enough_to_be_tokenized_aside_is_answered_all_the_same(tmp_path: Path) -> None:
    engine = ScriptedEngine(["x"], max_model_len=50_000)
    async with running_predictor(tmp_path, engine) as predictor:
        response = await predictor.chat("word " * 8_000, reasoning_effort="none", max_tokens=5)
    assert response.json()["usage"]["prompt_tokens"] > 16_000


async def test_a_consumer_that_stops_after_the_start_leaves_nothing_behind(tmp_path: Path) -> None:
    async with running_predictor(tmp_path, ScriptedEngine()) as predictor:
        job = Job(prompt=ChatPrompt((Message("user", "Hi"),)))
        async with aclosing(predictor.serving.completions.run(job, a_caller())) as events:
            first = await anext(events)
        assert isinstance(first, Started)
        assert predictor.engine.calls == []
        assert (await predictor.event()).data.status is Status.ABORTED
        assert predictor.admission.running == 0
        assert predictor.metric("kat_requests_in_flight", model=MODEL, mode="undecided") == 0


async def test_a_completion_that_nobody_reads_does_nothing(tmp_path: Path) -> None:
    async with running_predictor(tmp_path, ScriptedEngine(), max_events=1) as predictor:
        job = Job(prompt=ChatPrompt((Message("user", "Hi"),)))
        await predictor.serving.completions.run(job, a_caller()).aclose()
        assert (await predictor.chat()).status_code == 200
