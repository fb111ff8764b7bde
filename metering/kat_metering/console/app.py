"""The console as an application of its own, to be mounted in metering's: its errors are pages, not problems."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from fastapi.staticfiles import StaticFiles
from psycopg import Error as PsycopgError
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import State
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from kat_metering.console import (
    budgets_page,
    exports_page,
    keys_page,
    language_page,
    overview_page,
    playground_page,
    sign_in_page,
    statements_page,
    usage_page,
)
from kat_metering.console.headers import SafeHeaders
from kat_metering.console.pages import page
from kat_metering.console.session import Seal
from kat_metering.console.visitor import SignInNeeded, sign_in_address
from kat_metering.errors import MeteringError
from kat_metering.settings import Settings

log = structlog.get_logger(__name__)

_TOLD: Final = {HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY}
"""The errors that have words of their own; any other server's fault is told as unavailable, any other as invalid."""


def console_app(settings: Settings, state: State) -> ASGIApp:
    """The console. `state` is that of the application around it, which holds the services."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.state = state
    app.state.seal = Seal(settings.console_secret, timedelta(hours=settings.console_session_hours))
    app.add_exception_handler(SignInNeeded, _sign_in)
    app.add_exception_handler(MeteringError, _metering_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(SQLAlchemyError, _database_error)
    app.add_exception_handler(PsycopgError, _database_error)
    app.add_exception_handler(Exception, _unexpected)
    app.mount("/static", _Assets(directory=str(files("kat_metering.console").joinpath("static"))))
    for part in (
        sign_in_page,
        language_page,
        overview_page,
        usage_page,
        keys_page,
        budgets_page,
        statements_page,
        exports_page,
        playground_page,
    ):
        app.include_router(part.router)
    # Outermost, so that the page of an unexpected error has them too.
    return SafeHeaders(app)


class _Assets(StaticFiles):
    """Files that browsers may keep, and ask about before they use them again."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        answer = super().file_response(*args, **kwargs)
        answer.headers["Cache-Control"] = "no-cache"
        return answer


async def _sign_in(_: Request, error: Exception) -> Response:
    assert isinstance(error, SignInNeeded)  # noqa: S101 - registered for it
    return RedirectResponse(sign_in_address(error.back_to), HTTPStatus.SEE_OTHER)


async def _metering_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, MeteringError)  # noqa: S101 - registered for it
    return _error_page(request, error.status, [f"{each.field}: {each.message}" for each in error.errors])


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    return _error_page(request, error.status_code)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    fields = [f"{each['loc'][-1]}: {each['msg']}" for each in error.errors()]
    return _error_page(request, HTTPStatus.UNPROCESSABLE_ENTITY, fields)


async def _database_error(request: Request, error: Exception) -> Response:
    log.warning("database error", path=request.url.path, error=str(error))
    return _error_page(request, HTTPStatus.SERVICE_UNAVAILABLE)


async def _unexpected(request: Request, error: Exception) -> Response:
    log.error("unexpected error", path=request.url.path, exc_info=error)
    return _error_page(request, HTTPStatus.INTERNAL_SERVER_ERROR)


def _error_page(request: Request, status: int, fields: list[str] | None = None) -> Response:
    kind = status if status in _TOLD else 503 if status >= HTTPStatus.INTERNAL_SERVER_ERROR else 422
    return page(request, "error", status=status, kind=f"{kind:d}", fields=fields or [])
