"""Legacy completions: text goes on, untemplated."""

import pytest

from kat.usage_event import Mode, ModeSource
from tests.fakes.engine import ScriptedEngine
from tests.fakes.predictor import MODEL
from tests.unit.predictor.api.conftest import MakePredictor


async def test_the_prompt_reaches_the_engine_as_it_is(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine([" world"]))
    response = await predictor.client.post("/v1/completions", json={"model": MODEL, "prompt": "Hello,"})
    assert predictor.engine.calls[0].prompt == "Hello,"
    assert response.json()["choices"][0] == {"index": 0, "text": " world", "logprobs": None, "finish_reason": "stop"}


async def test_tags_of_the_grammar_are_plain_text(make_predictor: MakePredictor) -> None:
    text = "<think>\nno\n</think><answer>yes</answer>"
    predictor = await make_predictor(ScriptedEngine([text]))
    body = {"model": MODEL, "prompt": ["x"], "max_tokens": 100}
    response = (await predictor.client.post("/v1/completions", json=body)).json()
    assert response["choices"][0]["text"] == text


async def test_all_of_it_is_answer_and_nobody_thought(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine(["one two"]))
    response = (await predictor.client.post("/v1/completions", json={"model": MODEL, "prompt": "x"})).json()
    event = await predictor.event()
    assert response["id"] == f"cmpl-{event.id}"
    assert response["object"] == "text_completion"
    assert response["usage"]["kat_segments"] == event.data.tokens.model_dump()
    assert (event.data.mode, event.data.mode_source) == (Mode.OFF, ModeSource.REQUEST)
    assert event.data.tokens.answer == 3


async def test_sixteen_tokens_are_the_default_as_with_openai(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine(["word " * 50]))
    response = (await predictor.client.post("/v1/completions", json={"model": MODEL, "prompt": "x"})).json()
    assert response["usage"]["completion_tokens"] == 16
    assert response["choices"][0]["finish_reason"] == "length"


async def test_log_probabilities_come_in_the_legacy_form(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine(["one two"]))
    body = {"model": MODEL, "prompt": "x", "logprobs": 1}
    logprobs = (await predictor.client.post("/v1/completions", json=body)).json()["choices"][0]["logprobs"]
    assert logprobs == {
        "tokens": ["one", " ", "two"],
        "token_logprobs": [-0.5, -0.5, -0.5],
        "top_logprobs": [{"one~0": -1.0}, {" ~0": -1.0}, {"two~0": -1.0}],
        "text_offset": [0, 3, 4],
    }


@pytest.mark.parametrize("stop", ["two", ["three", "two"]])
async def test_stop_strings_apply(make_predictor: MakePredictor, stop: object) -> None:
    predictor = await make_predictor(ScriptedEngine(["one two three"]))
    body = {"model": MODEL, "prompt": "x", "stop": stop}
    choice = (await predictor.client.post("/v1/completions", json=body)).json()["choices"][0]
    assert (choice["text"], choice["finish_reason"]) == ("one ", "stop")
