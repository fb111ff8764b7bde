"""The OpenAPI document: what FastAPI reads from the routes, and what follows for every route alike.

Each answer is documented: which problems (RFC 9457) an operation may answer with follows from its credentials, its
parameters and its body, so that no route repeats them. A route names but what cannot be seen from outside:

    @router.post("/v1/tenants", status_code=201, responses=CONFLICT)
"""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from kat.usage_event import UsageEvent
from kat_metering.api.problems import CONTENT_TYPE, ProblemDocument
from kat_metering.api.request_ids import HEADER

Documented = dict[int | str, dict[str, Any]]

CONFLICT: Final[Documented] = {409: {"description": "Not as things stand; the detail says why."}}
MISSING: Final[Documented] = {404: {}}
"""For what a parameter or the body names; where the path does, that goes without saying."""
UNAVAILABLE: Final[Documented] = {503: {}}

_REF: Final = "#/components/schemas/{model}"
_MEANING: Final = {
    HTTPStatus.BAD_REQUEST: "The body cannot be read.",
    HTTPStatus.UNAUTHORIZED: "No credentials, or unknown, revoked or expired ones.",
    HTTPStatus.FORBIDDEN: "The credentials of another role, or of another tenant.",
    HTTPStatus.NOT_FOUND: "What the path names is not there.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "A parameter or a field of the body cannot be; `errors` names each.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The database or the identity provider is away; nothing was stored. Try again.",
}
_HEADERS: Final[dict[int, dict[str, str]]] = {
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": "The scheme to authenticate with: Bearer."},
    HTTPStatus.SERVICE_UNAVAILABLE: {"Retry-After": "Seconds to wait."},
}


def document_answers(app: FastAPI) -> None:
    """Make the application's OpenAPI document complete."""
    of_the_routes = app.openapi

    def complete() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(of_the_routes())
        return of_the_routes()

    app.openapi = complete  # type: ignore[method-assign] # how FastAPI has its document extended


def _complete(document: dict[str, Any]) -> None:
    components = document.setdefault("components", {})
    _, named = models_json_schema([(ProblemDocument, "serialization"), (UsageEvent, "validation")], ref_template=_REF)
    schemas = components.setdefault("schemas", {})
    for name, schema in named["$defs"].items():
        schemas.setdefault(name, schema)
    components["headers"] = {HEADER: _header("The id of the request: the caller's own, or a fresh one.")}
    for operations in document["paths"].values():
        for operation in operations.values():
            _complete_operation(operation)


def _complete_operation(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    for status in _problems_of(operation):
        responses.setdefault(str(status.value), {})
    for code, response in responses.items():
        headers = response.setdefault("headers", {})
        headers[HEADER] = {"$ref": f"#/components/headers/{HEADER}"}
        status = HTTPStatus(int(code))
        if status >= HTTPStatus.BAD_REQUEST:
            response["description"] = _MEANING.get(status) or response["description"]
            response["content"] = {CONTENT_TYPE: {"schema": {"$ref": _REF.format(model=ProblemDocument.__name__)}}}
            headers |= {name: _header(text) for name, text in _HEADERS.get(status, {}).items()}


def _problems_of(operation: dict[str, Any]) -> Iterator[HTTPStatus]:
    if "security" in operation:
        yield HTTPStatus.UNAUTHORIZED
        yield HTTPStatus.FORBIDDEN
        yield HTTPStatus.SERVICE_UNAVAILABLE
    if any(each["in"] == "path" for each in operation.get("parameters", [])):
        yield HTTPStatus.NOT_FOUND
    if "requestBody" in operation:
        yield HTTPStatus.BAD_REQUEST
        yield HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    if "requestBody" in operation or "parameters" in operation:
        yield HTTPStatus.UNPROCESSABLE_ENTITY


def _header(description: str) -> dict[str, Any]:
    return {"description": description, "required": True, "schema": {"type": "string"}}
