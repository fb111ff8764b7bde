"""A model is asked through a serving API or in this process, and both say mode, answer and tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from kat.usage_event import Mode, ModeAsked
from kat_training.chat_endpoint import ChatEndpoint, Endpoint
from kat_training.errors import SubjectError
from kat_training.evaluate import evaluate
from kat_training.sample import Sample
from kat_training.scores import Completion
from kat_training.subject_endpoint import EndpointSubject
from kat_training.subject_engine import EngineSubject
from tests.fakes.engine import Reply, ScriptedEngine
from tests.fakes.openai_models import Models, completion
from tests.fakes.training_samples import CHAIN, SUM, never_run


async def served(
    answering: Callable[[str, dict[str, Any]], dict[str, Any] | int], asked: ModeAsked = ModeAsked.AUTO
) -> tuple[Completion, dict[str, Any]]:
    """The completion, and the request that led to it."""
    models = Models(answering)
    async with httpx.AsyncClient(transport=models) as client:
        endpoint = ChatEndpoint(Endpoint("http://ours/v1", "m"), client)
        said = await EndpointSubject(endpoint, max_tokens=64).complete(SUM, asked)
    return said, models.sent[0][1]


async def test_our_predictor_says_the_mode_itself() -> None:
    said, _ = await served(lambda _, __: completion("12", tokens=3, mode="on"))
    assert said == Completion(Mode.ON, "12", 3)


async def test_elsewhere_the_tags_tell_the_mode() -> None:
    said, _ = await served(lambda _, __: completion(CHAIN.completion, tokens=40))
    assert said == Completion(Mode.ON, "19", 40)


async def test_a_plain_answer_thought_nothing() -> None:
    said, _ = await served(lambda _, __: completion("It is 12", tokens=3))
    assert said == Completion(Mode.OFF, "It is 12", 3)


async def test_reasoning_beside_the_answer_is_a_thought() -> None:
    body = completion("12", tokens=30)
    body["choices"][0]["message"]["reasoning_content"] = "7 + 5"
    said, _ = await served(lambda _, __: body)
    assert said.mode is Mode.ON


@pytest.mark.parametrize(
    ("asked", "parameter"),
    [(ModeAsked.AUTO, None), (ModeAsked.ON, {"enable_thinking": True}), (ModeAsked.OFF, {"enable_thinking": False})],
)
async def test_a_forced_mode_is_a_request_parameter(asked: ModeAsked, parameter: dict[str, bool] | None) -> None:
    _, request = await served(lambda _, __: completion("12", tokens=3), asked)
    assert request.get("chat_template_kwargs") == parameter


async def test_questions_are_asked_greedily() -> None:
    _, request = await served(lambda _, __: completion("12", tokens=3))
    assert (request["temperature"], request["max_tokens"]) == (0, 64)


async def test_an_endpoint_that_does_not_answer_ends_the_evaluation() -> None:
    with pytest.raises(SubjectError, match="sum"):
        await served(lambda _, __: 500)


async def test_a_model_in_this_process_judges_by_itself() -> None:
    engine = ScriptedEngine(replies=[CHAIN.completion])
    said = await EngineSubject(engine, max_tokens=500).complete(CHAIN, ModeAsked.AUTO)
    assert (said.mode, said.answer, said.tokens) == (Mode.ON, "19", engine.calls[0].tokens)


async def test_a_forced_mode_is_prefilled() -> None:
    engine = ScriptedEngine(replies=["19\n</answer>"])
    said = await EngineSubject(engine, max_tokens=500).complete(CHAIN, ModeAsked.OFF)
    assert (said.mode, said.answer, engine.calls[0].prompt.endswith("<answer>\n")) == (Mode.OFF, "19", True)


async def test_a_model_without_a_judge_of_its_own_is_asked_to_judge_first() -> None:
    engine = ScriptedEngine(replies=["A simple sum.\n", "12"], judges=False, choice="off")
    said = await EngineSubject(engine, max_tokens=500).complete(SUM, ModeAsked.AUTO)
    assert said.mode is Mode.OFF


async def test_an_engine_that_fails_ends_the_evaluation() -> None:
    engine = ScriptedEngine(replies=[Reply("12", fail_after=0)])
    with pytest.raises(SubjectError, match="chain"):
        await EngineSubject(engine, max_tokens=500).complete(CHAIN, ModeAsked.AUTO)


class Parrot:
    """Answers every question with its reference, and the one that it is told to fail on not at all."""

    def __init__(self, failing: Sample | None = None) -> None:
        self._failing = failing

    async def complete(self, sample: Sample, asked: ModeAsked) -> Completion:
        if sample is self._failing:
            raise SubjectError(f"no answer to {sample.id} in mode {asked}")
        return Completion(sample.mode, sample.answer, 1)


async def test_results_are_in_the_order_of_the_samples_and_each_is_told() -> None:
    told: list[None] = []
    samples = [SUM, CHAIN, SUM]
    scored = await evaluate(
        Parrot(), samples, ModeAsked.AUTO, run_tests=never_run, at_once=2, progress=lambda: told.append(None)
    )
    assert ([each.sample for each in scored], len(told)) == (samples, 3)
    assert all(each.right and each.mode_is_right for each in scored)


async def test_one_question_without_an_answer_fails_the_run_by_its_own_error() -> None:
    with pytest.raises(SubjectError, match="no answer to chain in mode off"):
        await evaluate(
            Parrot(failing=CHAIN), [SUM, CHAIN], ModeAsked.OFF, run_tests=never_run, at_once=2, progress=lambda: None
        )


async def test_trials_of_one_question_are_drawn_apart_and_the_same_in_the_next_run() -> None:
    async def seeds(seed: int) -> list[int | None]:
        engine = ScriptedEngine(replies=["19\n</answer>"] * 3)
        subject = EngineSubject(engine, max_tokens=500, temperature=0.8, seed=seed)
        for mode in (ModeAsked.OFF, ModeAsked.OFF, ModeAsked.ON):
            await subject.complete(CHAIN, mode)
        return [call.sampling.seed for call in engine.calls]

    first = await seeds(1)
    assert (len(set(first)), await seeds(1)) == (3, first)
    assert set(first).isdisjoint(await seeds(2))
