"""`response_format`: the answer has a form, its thoughts have none."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from fastapi.exceptions import FastAPIDeprecationWarning

from kat_predictor.api.response_format import MAX_SCHEMA_BYTES, MAX_SCHEMA_DEPTH, MAX_SCHEMA_ITEMS
from tests.fakes import kserve_routes  # noqa: F401 - its import takes seconds, too long for a test's time-out
from tests.fakes.engine import ScriptedEngine
from tests.fakes.predictor import MODEL, Predictor
from tests.unit.predictor.api.conftest import MakePredictor

ON = "Hard.\n</judge>\n\n<think_on>\n<think>\nLet me see.\n</think>\n\n<answer>\nSure, here you are."
OFF = "Easy.\n</judge>\n\n<think_off>\n<answer>\nSure."
JSON = '{"city": "Oslo"}'
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
OBJECT = {"type": "json_object"}


def named(schema: object, **more: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "place", "schema": schema, **more}}


def engine(*replies: str, **more: Any) -> ScriptedEngine:
    return ScriptedEngine(replies or (JSON,), supports_json_schema=True, **more)


def schemas(predictor: Predictor) -> list[str | None]:
    """What each call of the engine was held to."""
    return [call.sampling.json_schema for call in predictor.engine.calls]


async def test_a_model_that_thinks_is_free_until_its_answer(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(engine(ON, JSON))
    body = (await predictor.chat(response_format=named(SCHEMA))).json()
    message = body["choices"][0]["message"]
    assert (message["content"], message["reasoning"]) == (JSON, "Hard.\n\nLet me see.")
    assert (body["choices"][0]["finish_reason"], body["kat"]["mode"]) == ("stop", "on")
    first, second = schemas(predictor)
    assert first is None
    assert orjson.loads(second or "") == SCHEMA


async def test_the_answer_goes_on_from_what_the_model_said_itself(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(engine(ON, JSON))
    await predictor.chat(response_format=OBJECT)
    thinking, answering = predictor.engine.calls
    assert answering.prompt == thinking.prompt + ON.removesuffix("Sure, here you are.")
    assert thinking.closed
    assert not thinking.finished


async def test_tokens_that_came_past_the_tag_are_billed_as_control_and_not_shown(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(engine(ON, JSON, chunk_tokens=100))
    body = (await predictor.chat(response_format=OBJECT)).json()
    thinking, answering = predictor.engine.calls
    assert answering.prompt == thinking.prompt + ON.removesuffix("Sure, here you are.")
    assert body["choices"][0]["message"]["content"] == JSON
    segments = body["usage"]["kat_segments"]
    assert segments["answer"] == answering.tokens
    assert segments["judge"] + segments["think"] + segments["control"] == thinking.tokens
    assert body["usage"]["completion_tokens"] == thinking.tokens + answering.tokens
    assert (await predictor.event()).data.tokens.model_dump() == segments


@pytest.mark.parametrize("mode", ["on", "off"])
async def test_a_chat_model_without_a_judge_is_judged_freely(make_predictor: MakePredictor, mode: str) -> None:
    thought = ["Hm.\n</think>\n\n<answer>\nSure."] if mode == "on" else []
    predictor = await make_predictor(engine("A place.\n", *thought, JSON, judges=False, choice=mode))
    body = (await predictor.chat(response_format=OBJECT)).json()
    assert body["choices"][0]["message"]["content"] == JSON
    assert body["kat"] == {"mode": mode, "mode_source": "model"}
    *free, last = schemas(predictor)
    assert set(free) == {None}
    assert last == '{"type":"object"}'


async def test_without_thinking_one_call_makes_the_answer(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(engine(JSON))
    body = (await predictor.chat(response_format=OBJECT, reasoning_effort="none")).json()
    assert schemas(predictor) == ['{"type":"object"}']
    assert body["choices"][0]["message"]["content"] == JSON
    assert body["usage"]["kat_segments"]["control"] == 1


async def test_a_stream_shows_the_same_answer(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(engine(OFF, JSON))
    chunks = await predictor.chunks(response_format=named(SCHEMA, strict=True, description="A place."))
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == JSON


async def test_an_answer_that_is_cut_says_so(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(engine(JSON))
    response = await predictor.chat(response_format=OBJECT, reasoning_effort="none", max_tokens=3)
    assert response.json()["choices"][0] | {"message": None} == {
        "index": 0,
        "message": None,
        "logprobs": None,
        "finish_reason": "length",
    }


async def test_a_stop_string_cuts_the_answer_alone(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(engine(ON, JSON))
    choice = (await predictor.chat(response_format=OBJECT, stop=["s"])).json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ('{"city": "O', "stop")
    assert choice["message"]["reasoning"] == "Hard.\n\nLet me see."


async def test_log_probabilities_are_those_of_the_answers_tokens(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(engine(ON, JSON, chunk_tokens=4))
    choice = (await predictor.chat(response_format=OBJECT, logprobs=True)).json()["choices"][0]
    assert "".join(entry["token"] for entry in choice["logprobs"]["content"]) == JSON


async def test_plain_text_asks_for_nothing(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine([ON]))
    response = await predictor.chat(response_format={"type": "text"})
    assert response.json()["choices"][0]["message"]["content"] == "Sure, here you are."
    assert schemas(predictor) == [None]


async def test_an_engine_that_cannot_is_named_together_with_one_that_can(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine())
    response = await predictor.chat(response_format=OBJECT)
    error = response.json()["error"]
    assert (response.status_code, error["type"], error["param"]) == (400, "invalid_request_error", "response_format")
    assert "KAT_ENGINE=vllm" in error["message"]
    assert predictor.engine.calls == []


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(levels):
        schema = {"anyOf": [schema]}
    return schema


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"type": "yaml"}, "response_format.type", "json_object"),
    ({"type": "json_schema"}, "response_format.json_schema", "missing"),
    ({"type": "json_schema", "json_schema": {}}, "response_format.json_schema.name", "missing"),
    ({"type": "json_schema", "json_schema": {"name": "a"}}, "response_format.json_schema.schema", "missing"),
    (named(SCHEMA) | {"json_schema": "x"}, "response_format.json_schema", "valid"),
    (named(SCHEMA, name="a b"), "response_format.json_schema.name", "pattern"),
    (named(SCHEMA, name="a" * 65), "response_format.json_schema.name", "pattern"),
    (named(SCHEMA, strict="yes"), "response_format.json_schema.strict", "boolean"),
    (named([]), "response_format.json_schema.schema", "dictionary"),
    (named({"type": "whale"}), "response_format.json_schema.schema", "Invalid type: whale"),
    (named({"description": "x" * MAX_SCHEMA_BYTES}), "response_format.json_schema.schema", "bytes"),
    (named(nested(MAX_SCHEMA_DEPTH)), "response_format.json_schema.schema", "levels"),
    (named({"items": {}, "maxItems": MAX_SCHEMA_ITEMS + 1}), "response_format.json_schema.schema", "maxItems"),
    (named({"items": {}, "minItems": 1e9}), "response_format.json_schema.schema", "minItems"),
    (
        named({"anyOf": [{"items": {}, "maxItems": MAX_SCHEMA_ITEMS // 2}] * 3}),
        "response_format.json_schema.schema",
        "together",
    ),
]


@pytest.mark.parametrize(("form", "param", "complaint"), BAD)
async def test_a_form_that_cannot_be_had_is_a_400_that_names_the_field(
    make_predictor: MakePredictor, form: dict[str, Any], param: str, complaint: str
) -> None:
    predictor = await make_predictor(engine())
    response = await predictor.chat(response_format=form)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, param)
    assert complaint in error["message"]
    assert predictor.engine.calls == []
    assert await predictor.events() == []


async def test_a_schema_within_its_bounds_is_taken(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(engine())
    schema = {**nested(MAX_SCHEMA_DEPTH // 2 - 2), "items": {}, "maxItems": MAX_SCHEMA_ITEMS}
    assert (await predictor.chat(response_format=named(schema), reasoning_effort="none")).status_code == 200


TOOLS = [{"type": "function", "function": {"name": "weather"}}]


async def test_a_form_and_tools_exclude_one_another(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(engine())
    response = await predictor.chat(response_format=OBJECT, tools=TOOLS)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "response_format")
    assert "tools" in response.json()["error"]["message"]


async def test_a_form_goes_with_tools_that_may_not_be_called(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(engine(OFF, JSON))
    response = await predictor.chat(response_format=OBJECT, tools=TOOLS, tool_choice="none")
    assert response.json()["choices"][0]["message"]["content"] == JSON


# KServe answers with a class that FastAPI has deprecated.
kserve = pytest.mark.filterwarnings(f"ignore::{FastAPIDeprecationWarning.__module__}.FastAPIDeprecationWarning")


@kserve
async def test_v1_takes_a_form(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(engine(OFF, JSON), kserve=True)
    body = {"instances": ["Where?"], "parameters": {"response_format": named(SCHEMA)}}
    (prediction,) = (await predictor.client.post(f"/v1/models/{MODEL}:predict", json=body)).json()["predictions"]
    assert prediction["content"] == JSON


def infer_body(form: str) -> dict[str, Any]:
    tensor = {"name": "text_input", "shape": [1], "datatype": "BYTES", "data": ["Where?"]}
    return {"inputs": [tensor], "parameters": {"response_format": form}}


@kserve
async def test_v2_takes_a_form_as_text(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(engine(OFF, JSON), kserve=True)
    body = infer_body(orjson.dumps(named(SCHEMA)).decode())
    outputs = (await predictor.client.post(f"/v2/models/{MODEL}/infer", json=body)).json()["outputs"]
    assert next(output["data"] for output in outputs if output["name"] == "text_output") == [JSON]


@kserve
async def test_v2_refuses_a_form_that_is_not_json(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(engine(), kserve=True)
    response = await predictor.client.post(f"/v2/models/{MODEL}/infer", json=infer_body("json please"))
    assert response.status_code == 400
    assert "response_format" in response.json()["error"]
