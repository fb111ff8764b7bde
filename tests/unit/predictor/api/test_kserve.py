"""KServe's own protocols run the same completions under the same keys and the same books."""

from typing import Any

import orjson
import pytest
from fastapi.exceptions import FastAPIDeprecationWarning

from kat.usage_event import Mode, ModeSource
from tests.fakes import kserve_routes  # noqa: F401 - its import takes seconds, too long for a test's time-out
from tests.fakes.engine import Reply, ScriptedEngine
from tests.fakes.predictor import MODEL, Predictor
from tests.unit.predictor.api.conftest import MakePredictor

# KServe answers with a class that FastAPI has deprecated.
pytestmark = pytest.mark.filterwarnings(f"ignore::{FastAPIDeprecationWarning.__module__}.FastAPIDeprecationWarning")

ON = "This is hard.\n</judge>\n\n<think_on>\n<think>\nLet me see.\n</think>\n\n<answer>\nForty-two.\n</answer>"
PREDICT = f"/v1/models/{MODEL}:predict"
INFER = f"/v2/models/{MODEL}/infer"


def _echo(prompt: str) -> str:
    """Answers with the last user message."""
    return prompt.rsplit("user\n", 1)[1].split("<|im_end|>", 1)[0]


def _tensor(*texts: str) -> dict[str, Any]:
    return {"name": "text_input", "shape": [len(texts)], "datatype": "BYTES", "data": list(texts)}


def _outputs(response: Any) -> dict[str, list[Any]]:
    return {output["name"]: output["data"] for output in response.json()["outputs"]}


@pytest.fixture
async def predictor(make_predictor: MakePredictor) -> Predictor:
    return await make_predictor(ScriptedEngine(_echo), kserve=True)


async def test_v1_predicts_each_instance(predictor: Predictor) -> None:
    instances = ["one", {"prompt": "two"}, {"messages": [{"role": "user", "content": "three"}]}]
    body = {"instances": instances, "parameters": {"reasoning_effort": "none"}}
    predictions = (await predictor.client.post(PREDICT, json=body)).json()["predictions"]
    assert [prediction["content"] for prediction in predictions] == ["one", "two", "three"]
    assert {prediction["mode"] for prediction in predictions} == {"off"}
    assert len(await predictor.events()) == 3


async def test_v1_gives_reasoning_mode_and_usage(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine([ON]), kserve=True)
    (prediction,) = (await predictor.client.post(PREDICT, json={"instances": ["?"]})).json()["predictions"]
    event = await predictor.event()
    assert prediction["id"] == str(event.id)
    assert prediction["reasoning"] == "This is hard.\n\nLet me see."
    assert (prediction["mode"], prediction["mode_source"]) == ("on", "model")
    assert prediction["usage"]["kat_segments"] == event.data.tokens.model_dump()


async def test_v1_instances_override_the_common_parameters(predictor: Predictor) -> None:
    instances = [{"prompt": "a b c d", "max_tokens": 1}, {"prompt": "a b c d"}]
    body = {"instances": instances, "parameters": {"max_tokens": 3, "enable_thinking": False}}
    predictions = (await predictor.client.post(PREDICT, json=body)).json()["predictions"]
    assert [prediction["usage"]["completion_tokens"] for prediction in predictions] == [1, 3]


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({}, "instances"),
        ([], "instances"),
        ({"instances": "x"}, "instances"),
        ({"instances": []}, "1 to 32"),
        ({"instances": ["x"] * 33}, "1 to 32"),
        ({"instances": [5]}, "instances[0]"),
        ({"instances": ["x", {}]}, "instances[1]"),
        ({"instances": [{"prompt": "x", "messages": []}]}, "instances[0]"),
        ({"instances": [{"prompt": 5}]}, "content"),
        ({"instances": ["x"], "parameters": []}, "parameters"),
        ({"instances": ["x"], "parameters": 5}, "parameters"),
        ({"instances": ["x"], "parameters": {"temperature": 9}}, "temperature"),
    ],
)
async def test_v1_refuses_what_is_wrong_before_anything_runs(predictor: Predictor, body: Any, complaint: str) -> None:
    response = await predictor.client.post(PREDICT, json=body)
    assert response.status_code == 400
    assert complaint in response.json()["error"]
    assert predictor.engine.calls == []


async def test_v1_malformed_json_is_a_400_in_kserves_shape(predictor: Predictor) -> None:
    response = await predictor.client.post(PREDICT, content=b"{", headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert isinstance(response.json()["error"], str)


async def test_one_instance_that_fails_fails_the_request(make_predictor: MakePredictor) -> None:
    engine = ScriptedEngine(lambda prompt: Reply("x", fail_after=0) if "bad" in prompt else "y")
    predictor = await make_predictor(engine, kserve=True)
    response = await predictor.client.post(PREDICT, json={"instances": ["good", "bad"]})
    assert response.status_code == 500
    assert "engine" in response.json()["error"]
    assert len(await predictor.events()) == 2


async def test_v2_infers_each_text(predictor: Predictor) -> None:
    body = {"id": "r-1", "inputs": [_tensor("one", "two")], "parameters": {"enable_thinking": False}}
    response = await predictor.client.post(INFER, json=body)
    outputs = _outputs(response)
    assert response.json()["id"] == "r-1"
    assert outputs["text_output"] == ["one", "two"]
    assert outputs["mode"] == ["off", "off"]
    assert outputs["mode_source"] == ["request", "request"]
    assert outputs["finish_reason"] == ["stop", "stop"]
    assert outputs["completion_tokens"] == [2, 2]


async def test_v2_and_its_events_agree(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine([ON]), kserve=True)
    outputs = _outputs(await predictor.client.post(INFER, json={"inputs": [_tensor("?")]}))
    data = (await predictor.event()).data
    assert (data.mode, data.mode_source) == (Mode.ON, ModeSource.MODEL)
    assert outputs["reasoning"] == ["This is hard.\n\nLet me see."]
    assert outputs["prompt_tokens"] == [data.tokens.prompt_total]
    assert outputs["completion_tokens"] == [data.tokens.completion]
    assert outputs["reasoning_tokens"] == [data.tokens.reasoning]


async def test_v2_gives_only_the_outputs_asked_for(predictor: Predictor) -> None:
    body = {"inputs": [_tensor("one")], "outputs": [{"name": "text_output"}], "parameters": {"enable_thinking": False}}
    assert _outputs(await predictor.client.post(INFER, json=body)) == {"text_output": ["one"]}


async def test_v2_takes_binary_tensors(predictor: Predictor) -> None:
    raw = b"".join(len(text).to_bytes(4, "little") + text for text in (b"one", "zwölf".encode()))
    tensor = {
        "name": "text_input",
        "shape": [2],
        "datatype": "BYTES",
        "parameters": {"binary_data_size": len(raw)},
    }
    head = orjson.dumps({"inputs": [tensor], "parameters": {"enable_thinking": False}})
    headers = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
    response = await predictor.client.post(INFER, content=head + raw, headers=headers)
    assert _outputs(response)["text_output"] == ["one", "zwölf"]


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ({"inputs": []}, "text_input"),
        ({"inputs": [{"name": "other", "shape": [1], "datatype": "BYTES", "data": ["x"]}]}, "text_input"),
        ({"inputs": [{"name": "text_input", "shape": [1], "datatype": "INT32", "data": [1]}]}, "BYTES"),
        ({"inputs": [{"name": "text_input", "shape": [1], "datatype": "BYTES", "data": [1]}]}, "texts"),
        ({"inputs": [_tensor()]}, "1 to 32"),
        ({"inputs": [_tensor("x")], "parameters": {"top_p": 7}}, "top_p"),
        ({}, "inputs"),
    ],
)
async def test_v2_refuses_what_is_wrong(predictor: Predictor, body: Any, complaint: str) -> None:
    response = await predictor.client.post(INFER, json=body)
    assert response.status_code == 400
    assert complaint in response.json()["error"]
    assert predictor.engine.calls == []


@pytest.mark.parametrize(
    ("path", "body"), [(PREDICT, {"instances": ["x"]}), (INFER, {"inputs": [_tensor("x")]})], ids=["v1", "v2"]
)
async def test_a_key_is_needed_here_too(predictor: Predictor, path: str, body: Any) -> None:
    response = await predictor.client.post(path, json=body, headers={"Authorization": "Bearer sk-kat-unknown"})
    assert response.status_code == 401
    assert "key" in response.json()["error"]
    assert await predictor.events() == []


@pytest.mark.parametrize("path", [PREDICT, INFER], ids=["v1", "v2"])
async def test_a_body_over_the_limit_is_a_413(make_predictor: MakePredictor, path: str) -> None:
    predictor = await make_predictor(kserve=True, max_body_bytes=100)
    response = await predictor.client.post(path, json={"instances": ["x" * 200]})
    assert response.status_code == 413
    assert "100" in response.json()["error"]


async def test_an_unknown_model_is_a_404(predictor: Predictor) -> None:
    response = await predictor.client.post("/v1/models/other:predict", json={"instances": ["x"]})
    assert response.status_code == 404


@pytest.mark.parametrize("verb", ["load", "unload"])
async def test_nobody_unloads_the_model_over_http(predictor: Predictor, verb: str) -> None:
    response = await predictor.client.post(f"/v2/repository/models/{MODEL}/{verb}")
    assert response.status_code == 403
    ready = await predictor.client.get(f"/v2/models/{MODEL}/ready")
    assert ready.json() == {"name": MODEL, "ready": True}


async def test_v2_describes_its_tensors(predictor: Predictor) -> None:
    metadata = (await predictor.client.get(f"/v2/models/{MODEL}")).json()
    assert [tensor["name"] for tensor in metadata["inputs"]] == ["text_input"]
    assert "text_output" in [tensor["name"] for tensor in metadata["outputs"]]


async def test_a_model_whose_engine_is_dead_is_not_ready(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(ScriptedEngine(broken=True), kserve=True)
    assert (await predictor.client.get(f"/v2/models/{MODEL}/ready")).status_code == 503
    assert (await predictor.client.post(PREDICT, json={"instances": ["x"]})).status_code == 503


async def test_kserves_list_of_models_is_openais(predictor: Predictor) -> None:
    listed = (await predictor.client.get("/v1/models")).json()
    assert [card["id"] for card in listed["data"]] == [MODEL]
