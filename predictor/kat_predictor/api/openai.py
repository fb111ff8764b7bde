"""OpenAI's routes, under /v1 and under KServe's own prefix /openai/v1."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

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

    def add(method: str, path: str, endpoint: _Endpoint) -> None:
        router.routes.append(Route(path, _Answering(endpoint), methods=[method]))

    for prefix in OPENAI_PREFIXES:
        add("POST", f"{prefix}/chat/completions", routes.chat)
        add("POST", f"{prefix}/completions", routes.text)
        add("GET", f"{prefix}/models", routes.models)
    add("GET", "/openai/v1/models/{name:path}", routes.model)
    # KServe's v1 protocol asks here for the readiness of a model, without a key; one answer serves both.
    add("GET", "/v1/models/{name:path}", routes.model_and_readiness)
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


class _Answering:
    """An endpoint whose errors are answers in OpenAI's shape, before KServe's handlers shape them in their way.

    It is an ASGI application, which Starlette calls as it is: for functions it has layers of its own, for errors that
    do not come through here.
    """

    def __init__(self, endpoint: _Endpoint) -> None:
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path = scope["path"]
        try:
            response = await self._endpoint(Request(scope, receive))
        except ApiError as error:
            response = error_answer(error, path)
        except Exception as error:  # noqa: BLE001 - logged in full; outside only that it happened
            response = error_answer(internal_error(error, path), path)
        await response(scope, receive, send)
