"""What is wrong is refused in OpenAI's shape, names the field at fault, and costs nothing."""

from typing import Any

import pytest

from tests.fakes.engine import ScriptedEngine
from tests.fakes.predictor import MODEL, Predictor
from tests.unit.predictor.api.conftest import MakePredictor

USER = {"role": "user", "content": "Hello?"}
TOOL = {"type": "function", "function": {"name": "weather"}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:,"}}

CHAT: list[tuple[dict[str, Any], str]] = [
    ({"messages": []}, "messages"),
    ({"messages": None}, "messages"),
    ({"messages": "Hello?"}, "messages"),
    ({"messages": {"role": "user"}}, "messages"),
    ({"messages": ["Hello?"]}, "messages[0]"),
    ({"messages": [{"content": "Hello?"}]}, "messages[0].role"),
    ({"messages": [USER, {"role": "wizard", "content": "x"}]}, "messages[1].role"),
    ({"messages": [{"role": 5, "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
    (
        {"messages": [USER, {"role": "user", "content": [{"type": "text", "text": "x"}, IMAGE]}]},
        "messages[1].content[1]",
    ),
    ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages[0].content[0]"),
    ({"messages": [{"role": "user", "content": "x", "name": 1}]}, "messages[0].name"),
    ({"messages": [USER, {"role": "tool", "content": "x"}]}, "messages[1].tool_call_id"),
    ({"messages": [USER, {"role": "assistant", "tool_calls": "x"}]}, "messages[1].tool_calls"),
    ({"messages": [USER, {"role": "assistant", "tool_calls": [{"id": "c"}]}]}, "messages[1].tool_calls[0]"),
    (
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {}}}]}]},
        "messages[0].tool_calls[0].function.arguments",
    ),
    ({"model": None}, "model"),
    ({"model": 5}, "model"),
    ({"model": ""}, "model"),
    ({"max_tokens": -1}, "max_tokens"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_tokens": "many"}, "max_tokens"),
    ({"max_tokens": 1.5}, "max_tokens"),
    ({"max_tokens": True}, "max_tokens"),
    ({"max_tokens": 10**30}, "max_tokens"),
    ({"max_completion_tokens": -5}, "max_completion_tokens"),
    ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens"),
    ({"temperature": -0.1}, "temperature"),
    ({"temperature": 2.1}, "temperature"),
    ({"temperature": "hot"}, "temperature"),
    ({"top_p": 0}, "top_p"),
    ({"top_p": 1.1}, "top_p"),
    ({"seed": "x"}, "seed"),
    ({"seed": 2**63}, "seed"),
    ({"n": 2}, "n"),
    ({"n": 0}, "n"),
    ({"stop": ""}, "stop[0]"),
    ({"stop": ["a", ""]}, "stop[1]"),
    ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
    ({"stop": 5}, "stop"),
    ({"stream": "yes"}, "stream"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"stream": True, "stream_options": {"include_usage": "x"}}, "stream_options.include_usage"),
    ({"logprobs": 3}, "logprobs"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    ({"logprobs": True, "top_logprobs": -1}, "top_logprobs"),
    ({"top_logprobs": 2}, "top_logprobs"),
    ({"logit_bias": {"1": 5}}, "logit_bias"),
    ({"frequency_penalty": 0.5}, "frequency_penalty"),
    ({"presence_penalty": 9}, "presence_penalty"),
    ({"response_format": {"type": "json_object"}}, "response_format"),
    ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.json_schema.name"),
    ({"response_format": "json"}, "response_format"),
    ({"modalities": ["text", "audio"]}, "modalities"),
    ({"functions": [{"name": "f"}]}, "functions"),
    ({"tools": [{"type": "retrieval"}]}, "tools[0].type"),
    ({"tools": [{"type": "function"}]}, "tools[0].function"),
    ({"tools": [TOOL, {"type": "function", "function": {"name": ""}}]}, "tools[1].function.name"),
    ({"tools": [TOOL], "tool_choice": "required"}, "tool_choice"),
    ({"tools": [TOOL], "tool_choice": TOOL}, "tool_choice"),
    ({"tools": [TOOL], "parallel_tool_calls": False}, "parallel_tool_calls"),
    ({"reasoning_effort": "enormous"}, "reasoning_effort"),
    ({"reasoning_effort": 3}, "reasoning_effort"),
    ({"chat_template_kwargs": {"enable_thinking": "no"}}, "chat_template_kwargs.enable_thinking"),
    ({"thinking": {"type": "sometimes"}}, "thinking.type"),
    ({"thinking": {}}, "thinking.type"),
    ({"thinking": {"type": "enabled", "budget_tokens": -1}}, "thinking.budget_tokens"),
    ({"thinking_token_budget": -1}, "thinking_token_budget"),
    ({"thinking_token_budget": "all"}, "thinking_token_budget"),
    ({"metadata": {"a": 5}}, "metadata"),
    ({"metadata": {"a": "x" * 81}}, "metadata"),
    ({"metadata": {"a b": "x"}}, "metadata"),
    ({"metadata": {f"k{index}": "x" for index in range(9)}}, "metadata"),
    ({"metadata": "x"}, "metadata"),
]

TEXT: list[tuple[dict[str, Any], str]] = [
    ({"prompt": None}, "prompt"),
    ({"prompt": ""}, "prompt"),
    ({"prompt": []}, "prompt"),
    ({"prompt": ["a", "b"]}, "prompt"),
    ({"prompt": [1, 2, 3]}, "prompt"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"n": 3}, "n"),
    ({"best_of": 2}, "best_of"),
    ({"echo": True}, "echo"),
    ({"suffix": "x"}, "suffix"),
    ({"logprobs": 6}, "logprobs"),
    ({"logprobs": True}, "logprobs"),
    ({"stream_options": {}}, "stream_options"),
]


def _sentence(case: object) -> str:
    return f"{case}"[:80]


async def _refused(predictor: Predictor, path: str, body: dict[str, Any]) -> dict[str, Any]:
    response = await predictor.client.post(path, json=body)
    assert response.status_code == 400, response.text
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert predictor.engine.calls == []
    assert await predictor.events() == []
    return error


@pytest.mark.parametrize(("change", "param"), CHAT, ids=_sentence)
async def test_a_bad_value_in_a_chat_request_names_its_field(
    make_predictor: MakePredictor, change: dict[str, Any], param: str
) -> None:
    error = await _refused(
        await make_predictor(), "/v1/chat/completions", {"model": MODEL, "messages": [USER], **change}
    )
    assert error["param"] == param
    assert param.rsplit(".", maxsplit=1)[-1].split("[", maxsplit=1)[0] in error["message"]


@pytest.mark.parametrize(("change", "param"), TEXT, ids=_sentence)
async def test_a_bad_value_in_a_completion_request_names_its_field(
    make_predictor: MakePredictor, change: dict[str, Any], param: str
) -> None:
    error = await _refused(await make_predictor(), "/v1/completions", {"model": MODEL, "prompt": "x", **change})
    assert error["param"] == param


@pytest.mark.parametrize(
    ("parameters", "both"),
    [
        (
            {"reasoning_effort": "none", "chat_template_kwargs": {"enable_thinking": True}},
            ("reasoning_effort", "chat_template_kwargs.enable_thinking"),
        ),
        ({"reasoning_effort": "high", "thinking": {"type": "disabled"}}, ("reasoning_effort", "thinking.type")),
        ({"reasoning_effort": "high", "thinking": {"type": "auto"}}, ("reasoning_effort", "thinking.type")),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 5}, "thinking_token_budget": 6},
            ("thinking.budget_tokens", "thinking_token_budget"),
        ),
    ],
)
async def test_parameters_that_contradict_one_another_are_both_named(
    make_predictor: MakePredictor, parameters: dict[str, Any], both: tuple[str, str]
) -> None:
    body = {"model": MODEL, "messages": [USER], **parameters}
    error = await _refused(await make_predictor(), "/v1/chat/completions", body)
    assert all(f"'{name}'" in error["message"] for name in both)


@pytest.mark.parametrize(
    ("field", "limit"), [("max_tokens", 10**9), ("max_completion_tokens", 2_000), ("max_tokens", 1_990)]
)
async def test_max_tokens_that_do_not_fit_the_context_are_refused_as_openai_does(
    make_predictor: MakePredictor, field: str, limit: int
) -> None:
    predictor = await make_predictor(ScriptedEngine(max_model_len=2_000))
    body = {"model": MODEL, "messages": [USER], field: limit}
    error = await _refused(predictor, "/v1/chat/completions", body)
    prompt = len(predictor.engine.encode(predictor.engine.render_chat([USER], None)))
    assert (error["code"], error["param"]) == ("context_length_exceeded", field)
    assert error["message"] == (
        f"This model's maximum context length is 2000 tokens. However, you requested {prompt + limit} tokens "
        f"({prompt} in the messages, {limit} in the completion). Please reduce the length of the messages or completion."
    )


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "word " * 1_500}]}, "messages"),
        ("/v1/completions", {"prompt": "word " * 1_500}, "prompt"),
    ],
)
async def test_a_prompt_longer_than_the_context_is_refused(
    make_predictor: MakePredictor, path: str, body: dict[str, Any], param: str
) -> None:
    predictor = await make_predictor(ScriptedEngine(max_model_len=2_000))
    error = await _refused(predictor, path, {"model": MODEL, **body})
    assert (error["code"], error["param"]) == ("context_length_exceeded", param)


@pytest.mark.parametrize("body", [b"{", b"", b"nonsense", b'{"model": NaN}', b"[" * 5_000])
async def test_a_body_that_is_no_json_is_refused(make_predictor: MakePredictor, body: bytes) -> None:
    predictor = await make_predictor()
    response = await predictor.client.post(
        "/v1/chat/completions", content=body, headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 400
    assert "not valid JSON" in response.json()["error"]["message"]


@pytest.mark.parametrize("body", ["[]", "5", '"text"', "null"])
async def test_a_body_that_is_no_object_is_refused(make_predictor: MakePredictor, body: str) -> None:
    predictor = await make_predictor()
    response = await predictor.client.post(
        "/v1/chat/completions", content=body, headers={"Content-Type": "application/json"}
    )
    assert response.status_code == 400
    assert "object" in response.json()["error"]["message"]


async def test_bytes_that_are_no_utf8_are_called_that(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor()
    body = b'{"model": "kat-test", "messages": [{"role": "user", "content": "\xff\xfe"}]}'
    response = await predictor.client.post(
        "/v1/chat/completions", content=body, headers={"Content-Type": "application/json; charset=utf-8"}
    )
    assert response.status_code == 400
    assert "UTF-8" in response.json()["error"]["message"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_another_content_type_than_json_is_a_415(make_predictor: MakePredictor, content_type: str) -> None:
    predictor = await make_predictor()
    response = await predictor.client.post(
        "/v1/chat/completions", content=b"{}", headers={"Content-Type": content_type}
    )
    assert response.status_code == 415
    assert response.json()["error"]["type"] == "invalid_request_error"


async def test_an_unknown_model_is_a_404_with_openais_code(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor()
    response = await predictor.chat(model="gpt-9")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"
    assert response.json()["error"]["param"] == "model"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/chat/completions", 405), ("POST", "/v1/nothing", 404), ("DELETE", "/openai/v1/models", 405)],
)
async def test_routes_and_methods_that_do_not_exist_are_told_in_openais_shape(
    make_predictor: MakePredictor, method: str, path: str, status: int
) -> None:
    predictor = await make_predictor()
    response = await predictor.client.request(method, path)
    assert response.status_code == status
    assert response.json()["error"]["type"] == "invalid_request_error"


async def test_a_conversation_that_the_template_refuses_is_the_clients_fault(make_predictor: MakePredictor) -> None:
    class PickyEngine(ScriptedEngine):
        def render_chat(self, messages: Any, tools: Any) -> str:
            if len(messages) > 1:
                raise ValueError("roles must alternate")
            return super().render_chat(messages, tools)

    body = {"model": MODEL, "messages": [USER, USER]}
    error = await _refused(await make_predictor(PickyEngine()), "/v1/chat/completions", body)
    assert "roles must alternate" in error["message"]
