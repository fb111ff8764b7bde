"""Every error as a problem (RFC 9457), the framework's own included."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

import psycopg
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from kat_metering.errors import (
    FieldError,
    IdentityUnavailableError,
    MeteringError,
    StoreUnavailableError,
    UnauthenticatedError,
)

log = structlog.get_logger(__name__)

CONTENT_TYPE: Final = "application/problem+json"
_RETRY_AFTER_SECONDS: Final = 1


class ProblemDocument(BaseModel):
    """What went wrong, as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError]
    """What is wrong with each field or parameter; empty where it is not about one."""


class ProblemResponse(JSONResponse):
    media_type = CONTENT_TYPE

    def render(self, content: object) -> bytes:
        # A caller's half of a surrogate pair, quoted here, has no UTF-8; its escape is that of JSON.
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode(errors="backslashreplace")


def problem(
    status: int, detail: str, *, errors: Sequence[FieldError] = (), headers: Mapping[str, str] | None = None
) -> ProblemResponse:
    return ProblemResponse(
        {
            "type": "about:blank",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
            "errors": [{"field": error.field, "message": error.message} for error in errors],
        },
        status,
        headers=dict(headers or {}),
    )


def answer_with_problems(app: FastAPI) -> None:
    """Make every error of the application a problem."""
    app.add_exception_handler(MeteringError, _metering_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(SQLAlchemyError, _database_error)
    app.add_exception_handler(psycopg.Error, _database_error)
    app.add_exception_handler(Exception, _unexpected)


async def _metering_error(_: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, MeteringError)  # noqa: S101 - registered for it
    headers = {}
    if isinstance(error, UnauthenticatedError):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, StoreUnavailableError | IdentityUnavailableError):
        headers["Retry-After"] = str(_RETRY_AFTER_SECONDS)
    return problem(error.status, error.detail, errors=error.errors, headers=headers)


async def _http_exception(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_allowed(request))
    return problem(error.status_code, str(error.detail), headers=headers)


def _allowed(request: Request) -> list[str]:
    # The router names the methods of the first route of a path only.
    return sorted(
        method
        for route in request.app.routes
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
        for method in route.methods or ()
    )


async def _invalid_request(_: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    details = error.errors()
    errors = [FieldError(_path(detail["loc"]), str(detail["msg"])) for detail in details]
    if any(detail["type"] == "json_invalid" for detail in details):
        return problem(HTTPStatus.BAD_REQUEST, "The body is not JSON.", errors=errors)
    fields = ", ".join(error.field for error in errors)
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"Invalid: {fields}.", errors=errors)


def _path(location: Sequence[str | int]) -> str:
    # The first part says where the field was (body, query, path); the name alone is what the caller knows.
    parts = location[1:] if len(location) > 1 else location
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


async def _database_error(request: Request, error: Exception) -> ProblemResponse:
    cause = error.orig if isinstance(error, DBAPIError) else error
    # A schema that is not there yet looks like a mistake in the statement.
    temporary = (
        isinstance(error, PoolTimeoutError)
        or isinstance(cause, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn)
        or not isinstance(
            cause, psycopg.ProgrammingError | psycopg.DataError | psycopg.IntegrityError | psycopg.NotSupportedError
        )
    )
    if not temporary:
        return await _unexpected(request, error)
    log.warning("database unavailable", path=request.url.path, error=str(cause).strip())
    return problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The database is unavailable; nothing was stored. Try again.",
        headers={"Retry-After": str(_RETRY_AFTER_SECONDS)},
    )


async def _unexpected(request: Request, error: Exception) -> ProblemResponse:
    log.error("unexpected error", path=request.url.path, exc_info=error)
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "An unexpected error; the service's log has more.")
