"""Errors as answers: in OpenAI's shape on OpenAI's routes, in KServe's on KServe's."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from kat_predictor.api.json_response import JsonResponse
from kat_predictor.errors import ApiError, InvalidRequest, MethodNotAllowed, NotFound
from kat_predictor.request_trace import note_error

OPENAI_PREFIXES: Final = ("/v1", "/openai/v1")
_KSERVE_VERBS: Final = (":predict", ":explain")
_log = structlog.get_logger(__name__)


def error_answer(error: ApiError, path: str) -> JsonResponse:
    """The answer to a request for `path` that ended in this error."""
    note_error(error.code or error.type)
    content: object = error.to_openai() if is_openai(path) else {"error": error.message}
    return JsonResponse(content, status_code=error.status, headers=error.headers())


def is_openai(path: str) -> bool:
    """The path belongs to OpenAI's API. KServe's v1 protocol lives beside it under /v1, told apart by its verbs."""
    return any(path.startswith(f"{prefix}/") for prefix in OPENAI_PREFIXES) and not path.endswith(_KSERVE_VERBS)


def internal_error(error: Exception, path: str) -> ApiError:
    """Log an exception that nobody expected, and what to say of it outside."""
    _log.error("request_failed", path=path, exc_info=error)
    return ApiError("The server failed to process the request. The failure was logged; try again.")


def install_error_answers(app: FastAPI) -> None:
    """Answer errors that surface outside of our own routes: no such route, wrong method, KServe's routes."""
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RequestValidationError, _validation_error)


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101 - registered for no other; narrows the type
    return error_answer(error, request.url.path)


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for no other; narrows the type
    path, method = request.url.path, request.method
    if error.status_code == HTTPStatus.NOT_FOUND:
        answer = error_answer(NotFound(f"No such route: {method} {path}."), path)
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        answer = error_answer(MethodNotAllowed(f"{path} does not take {method}."), path)
    else:
        answer = error_answer(InvalidRequest(str(error.detail)), path)
        answer.status_code = error.status_code
    answer.headers.update(error.headers or {})
    return answer


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for no other; narrows the type
    first = error.errors()[0]
    where = ".".join(str(step) for step in first["loc"])
    return error_answer(InvalidRequest(f"{where}: {first['msg']}"), request.url.path)
