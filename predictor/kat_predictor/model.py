"""The model behind KServe's own protocols: v1 `:predict` and v2 `infer`, on the same completions as OpenAI's routes.

v1 takes {"instances": [...], "parameters": {...}}. An instance is a text, {"prompt": text} or {"messages": [...]}; it may
hold parameters of its own. v2 takes a BYTES tensor `text_input` and `parameters`. A text is the one user message of a
chat. Parameters are those of `/v1/chat/completions`; since v2 has no nesting, `enable_thinking` may stand by itself, and
`response_format` may be its JSON as text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from kat.usage_event import new_event_id
from kat_predictor.api import fields
from kat_predictor.api.requests import ChatCompletionRequest, parse
from kat_predictor.api.responses import Gathered, gather
from kat_predictor.errors import InvalidRequest
from kat_predictor.kserve_sdk import InferOutput, InferRequest, InferResponse, Model
from kat_predictor.serving import Serving
from kat_predictor.tenants import Caller

MAX_INSTANCES: Final = 32
"""Prompts of one request, at most; each is admitted and accounted by itself."""
TEXT_INPUT: Final = "text_input"
# How a response is sent is settled by the protocol here.
_NOT_HERE: Final = frozenset({"stream", "stream_options", "logprobs", "top_logprobs"})


class KatModel(Model):  # type: ignore[misc] # KServe has no types
    """The served model, as KServe's server knows it."""

    def __init__(self, name: str, serving: Serving) -> None:
        super().__init__(name)
        self._serving = serving
        # KServe's server refuses to start without a model that is ready; `healthy` is what probes ask.
        self.ready = True

    async def healthy(self) -> bool:
        """The engine answers."""
        return await self._serving.ready()

    def load(self) -> bool:
        """Nothing to do: the server loads the engine by itself. KServe calls this on a model that is not healthy."""
        return bool(self.ready)

    def get_input_types(self) -> list[dict[str, object]]:
        """The tensors of a v2 request."""
        return [{"name": TEXT_INPUT, "datatype": "BYTES", "shape": [-1]}]

    def get_output_types(self) -> list[dict[str, object]]:
        """The tensors of a v2 response, one element for each of the request."""
        return [{"name": name, "datatype": datatype, "shape": [-1]} for name, datatype in _OUTPUTS.items()]

    async def predict(
        self,
        payload: object,
        headers: Mapping[str, str] | None = None,
        response_headers: Mapping[str, str] | None = None,  # noqa: ARG002 - KServe's signature
    ) -> dict[str, object] | InferResponse:
        """Complete every instance of a request; all of them, or none with the error of the first that failed."""
        caller = self._serving.tenants.authenticate((headers or {}).get("authorization"))
        if isinstance(payload, InferRequest):
            bodies = list(_v2_bodies(payload, self.name))
            return _v2_response(payload, self.name, await self._complete(bodies, caller))
        bodies = list(_v1_bodies(payload, self.name))
        return {"predictions": [_prediction(done) for done in await self._complete(bodies, caller)]}

    async def _complete(self, bodies: Sequence[Mapping[str, object]], caller: Caller) -> list[Gathered]:
        # All are read before any is run: a mistake in the last must not cost the first ones.
        jobs = [parse(body, ChatCompletionRequest).job() for body in bodies]
        completions = self._serving.completions
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(gather(completions.run(job, caller))) for job in jobs]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures
        return [task.result() for task in tasks]


def _v1_bodies(payload: object, model: str) -> Iterator[dict[str, object]]:
    instances = payload.get("instances") if isinstance(payload, dict) else None
    if not isinstance(payload, dict) or not isinstance(instances, list):
        raise InvalidRequest("The body must be a JSON object with a list 'instances'.", param="instances")
    parameters = payload.get("parameters", {})
    if not isinstance(parameters, dict):
        raise InvalidRequest("'parameters' must be an object.", param="parameters")
    _check_count(len(instances), "instances")
    for index, raw in enumerate(instances):
        instance = {"prompt": raw} if isinstance(raw, str) else raw
        if not isinstance(instance, dict) or ("prompt" in instance) == ("messages" in instance):
            raise InvalidRequest(
                f"'instances[{index}]' must be a text, or an object with either 'prompt' or 'messages'.",
                param=f"instances[{index}]",
            )
        own = {**parameters, **instance}
        yield _body(own, model, own.pop("prompt", None))


def _v2_bodies(request: InferRequest, model: str) -> Iterator[dict[str, object]]:
    tensor = next((tensor for tensor in request.inputs if tensor.name == TEXT_INPUT), None)
    if tensor is None or tensor.datatype != "BYTES":
        raise InvalidRequest(f"The request needs a tensor '{TEXT_INPUT}' of datatype BYTES.", param=TEXT_INPUT)
    texts = list(_flat(tensor.data))
    _check_count(len(texts), TEXT_INPUT)
    for text in texts:
        yield _body(dict(request.parameters or {}), model, text)


def _body(parameters: dict[str, Any], model: str, text: object) -> dict[str, object]:
    """The chat request that one instance amounts to."""
    body = {name: value for name, value in parameters.items() if name not in _NOT_HERE}
    if "enable_thinking" in body:
        body["chat_template_kwargs"] = {"enable_thinking": body.pop("enable_thinking")}
    if isinstance(written := body.get("response_format"), str):
        body["response_format"] = _decoded(written, "response_format")
    if text is not None:
        body["messages"] = [{"role": "user", "content": text}]
    return {**body, "model": model}


def _decoded(text: str, param: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"'{param}' is a text that is not valid JSON: {error}.", param=param) from error


def _check_count(count: int, param: str) -> None:
    if not 1 <= count <= MAX_INSTANCES:
        raise InvalidRequest(f"'{param}' must hold 1 to {MAX_INSTANCES} prompts, not {count}.", param=param)


def _flat(data: object) -> Iterator[str]:
    if isinstance(data, (list, tuple)):
        for item in data:
            yield from _flat(item)
    elif isinstance(data, bytes):
        try:
            yield data.decode()
        except UnicodeDecodeError as error:
            raise InvalidRequest(f"'{TEXT_INPUT}' is not valid UTF-8.", param=TEXT_INPUT) from error
    elif isinstance(data, str):
        yield data
    else:
        raise InvalidRequest(f"'{TEXT_INPUT}' must hold texts.", param=TEXT_INPUT)


def _prediction(done: Gathered) -> dict[str, object]:
    finished = done.finished
    prediction: dict[str, object] = {
        "id": str(done.started.id),
        "content": done.answer,
        "reasoning": done.reasoning,
        **fields.kat(finished.mode, finished.mode_source),
        "finish_reason": finished.finish_reason,
        "usage": fields.usage(finished.tokens),
    }
    if done.tool_calls:
        prediction["tool_calls"] = [fields.tool_call(call) for call in done.tool_calls]
    return prediction


_OUTPUTS: Final = {
    "text_output": "BYTES",
    "reasoning": "BYTES",
    "mode": "BYTES",
    "mode_source": "BYTES",
    "finish_reason": "BYTES",
    "prompt_tokens": "INT64",
    "completion_tokens": "INT64",
    "reasoning_tokens": "INT64",
}


def _v2_response(request: InferRequest, model: str, all_done: Sequence[Gathered]) -> InferResponse:
    rows = [_row(done) for done in all_done]
    return InferResponse(
        response_id=request.id or str(new_event_id()),
        model_name=model,
        infer_outputs=[
            InferOutput(name=name, shape=[len(rows)], datatype=datatype, data=[row[name] for row in rows])
            for name, datatype in _OUTPUTS.items()
        ],
        use_binary_outputs=request.use_binary_outputs,
        requested_outputs=request.request_outputs,
    )


def _row(done: Gathered) -> dict[str, str | int]:
    finished = done.finished
    return {
        "text_output": done.answer,
        "reasoning": done.reasoning,
        "mode": finished.mode.value,
        "mode_source": finished.mode_source.value,
        "finish_reason": finished.finish_reason,
        "prompt_tokens": finished.tokens.prompt_total,
        "completion_tokens": finished.tokens.completion,
        "reasoning_tokens": finished.tokens.reasoning,
    }
