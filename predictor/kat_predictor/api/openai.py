"""OpenAI's routes, under /v1 and under KServe's own prefix /openai/v1."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from kat_predictor.api import responses
from kat_predictor.api.answers import OPENAI_PREFIXES, error_answer, internal_error
from kat_predictor.api.body import read_json
from kat_predictor.api.json_response import JsonResponse
from kat_predictor.api.requests import ChatCompletionRequest, CompletionRequest, parse
from kat_predictor.api.stream import ChatEncoder, EventStream, TextEncoder
from kat_predictor.errors import ApiError, ModelNotFound, NotReady
from kat_predictor.serving import Serving

_Endpoint = Callable[[Request], Awaitable[Response]]


def openai_router(serving: Serving, *, model: str, created: int) -> APIRouter:
    """Chat completions, completions and models.

    Args:
        serving: What runs requests.
        model: The served name.
        created: Since when the model is served, in seconds since 1970.
    """
    routes = _Routes(serving, model, created)
    router = APIRouter()
    for prefix in OPENAI_PREFIXES:
        router.add_route(f"{prefix}/chat/completions", _answering(routes.chat), methods=["POST"])
        router.add_route(f"{prefix}/completions", _answering(routes.text), methods=["POST"])
        router.add_route(f"{prefix}/models", _answering(routes.models), methods=["GET"])
    router.add_route("/openai/v1/models/{name:path}", _answering(routes.model), methods=["GET"])
    # KServe's v1 protocol asks here for the readiness of a model, without a key; one answer serves both.
    router.add_route("/v1/models/{name:path}", _answering(routes.model_and_readiness), methods=["GET"])
    return router


class _Routes:
    def __init__(self, serving: Serving, model: str, created: int) -> None:
        self._serving = serving
        self._model = model
        self._created = created

    async def chat(self, request: Request) -> Response:
        caller = self._serving.tenants.authenticate(request.headers.get("authorization"))
        asked = parse(await read_json(request), ChatCompletionRequest)
        self._check_model(asked.model)
        events = self._serving.completions.run(asked.job(), caller)
        logprobs = bool(asked.logprobs)
        if asked.stream:
            return EventStream(
                events, ChatEncoder(model=self._model, include_usage=asked.include_usage, logprobs=logprobs)
            )
        gathered = await responses.gather(events)
        return JsonResponse(responses.chat_completion(gathered, model=self._model, logprobs=logprobs))

    async def text(self, request: Request) -> Response:
        caller = self._serving.tenants.authenticate(request.headers.get("authorization"))
        asked = parse(await read_json(request), CompletionRequest)
        self._check_model(asked.model)
        events = self._serving.completions.run(asked.job(), caller)
        logprobs = asked.logprobs is not None
        if asked.stream:
            return EventStream(
                events, TextEncoder(model=self._model, include_usage=asked.include_usage, logprobs=logprobs)
            )
        gathered = await responses.gather(events)
        return JsonResponse(responses.text_completion(gathered, model=self._model, logprobs=logprobs))

    async def models(self, request: Request) -> Response:
        self._serving.tenants.authenticate(request.headers.get("authorization"))
        return JsonResponse({"object": "list", "data": [self._card()]})

    async def model(self, request: Request) -> Response:
        self._serving.tenants.authenticate(request.headers.get("authorization"))
        self._check_model(request.path_params["name"])
        return JsonResponse(self._card())

    async def model_and_readiness(self, request: Request) -> Response:
        self._check_model(request.path_params["name"])
        if not await self._serving.ready():
            raise NotReady(f"The model '{self._model}' is not ready.", retry_after=5)
        return JsonResponse({**self._card(), "name": self._model, "ready": True})

    def _card(self) -> dict[str, object]:
        return {"id": self._model, "object": "model", "created": self._created, "owned_by": "kat-serving"}

    def _check_model(self, name: str) -> None:
        if name != self._model:
            raise ModelNotFound(
                f"The model '{name}' does not exist here; this server has '{self._model}'.", param="model"
            )


def _answering(endpoint: _Endpoint) -> _Endpoint:
    """The endpoint with its errors as answers in OpenAI's shape, before KServe's handlers shape them in their way."""

    async def answer(request: Request) -> Response:
        path = request.url.path
        try:
            return await endpoint(request)
        except ApiError as error:
            return error_answer(error, path)
        except Exception as error:  # noqa: BLE001 - logged in full; outside only that it happened
            return error_answer(internal_error(error, path), path)

    return answer
