"""The API answers as its OpenAPI document says it does, whoever asks and whatever is sent."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from pydantic import SecretStr
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from kat_metering.exports.formats import ExportFormat
from kat_metering.main import create_app
from kat_metering.settings import Settings
from tests.fakes.metering import ADMIN, ADMIN_TOKEN, SERVICE, SERVICE_TOKEN, bearer
from tests.fakes.usage_events import a_delivery, an_event

CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    allow_header_conformance,
]
LAST_MONTH: Final = datetime.now(UTC).replace(day=1) - timedelta(days=1)
_OF_LAST_MONTH: Final = {"month": f"{LAST_MONTH:%Y-%m}"}
_SAMPLE: Final = {
    "id": "01a20ec1-5760-7002-93b1-cf91d5cd682e",
    "taken_at": "2026-11-01T00:00:00Z",
    "model": "KAT-V1-40B",
    "mode": "on",
    "task": "",
    "prompt_tokens": 1,
    "tokens_ours": 1,
    "tokens_baseline": 1,
    "latency_ours_ms": 1,
    "latency_baseline_ms": 1,
}
VALID: Final[list[tuple[str, str, dict[str, str], Any]]] = [
    *(
        ("GET", "/v1/exports/usage", {**_OF_LAST_MONTH, "tenant": "acme", "format": form.value}, None)
        for form in ExportFormat
    ),
    ("GET", "/v1/statements/draft", {**_OF_LAST_MONTH, "tenant": "globex"}, None),
    ("GET", "/v1/statements/draft", {**_OF_LAST_MONTH, "tenant": "globex", "format": "html"}, None),
    ("GET", "/v1/statements/{name}", {"format": "html"}, None),
    ("POST", "/v1/statements/{name}/adjustments", {}, {"credit": "0.000001", "reason": "a fault"}),
    ("POST", "/v1/shadow/samples", {}, {"baseline": "kat-v1-200b", "samples": [_SAMPLE]}),
    ("GET", "/v1/shadow/samples", {"baseline": "kat-v1-200b"}, None),
    (
        "POST",
        "/v1/tenants/{tenant_id}/discounts",
        {},
        [{"model": "discounted", "percent": "1", "effective_from": "2050-01-01T00:00:00Z", "reason": "a friend"}],
    ),
]
WAIT_SECONDS: Final = 60
DOCUMENT: Final = create_app(
    Settings(admin_token=SecretStr(ADMIN_TOKEN), service_token=SecretStr(SERVICE_TOKEN))
).openapi()
API: Final = schemathesis.openapi.from_dict(DOCUMENT)
REFUSED: Final = schemathesis.openapi.from_dict(DOCUMENT)
"""For who is refused nearly everywhere, whatever is sent: random cases only."""
REFUSED.config.phases.coverage.enabled = False


Call = Callable[..., httpx.Response]


@dataclass(frozen=True, slots=True)
class Platform:
    """The application with something to find in it."""

    call: Call
    credentials: dict[str, dict[str, str]]
    """Headers by caller."""
    there: dict[str, str]
    """Path parameters of what is there."""


@pytest.fixture(scope="module")
def platform(shared_call: Call) -> Platform:
    """One for all operations: what one of them leaves behind, the others must bear."""
    # Of last month: budgets of this month stay untouched, so that no alert goes to an address made up here.
    event = an_event(at=LAST_MONTH, tokens={"think": 1_000_000_000})
    open_event = an_event(tenant="globex", at=LAST_MONTH)
    _made(shared_call, "/v1/tenants", {"id": "acme", "name": "Acme"})
    callers_key = _made(shared_call, "/v1/tenants/acme/keys", {})["key"]
    key = _made(shared_call, "/v1/tenants/acme/keys", {})["id"]
    hook = _made(shared_call, "/v1/tenants/acme/webhooks", {"url": "https://hook.invalid/"})["id"]
    assert shared_call("POST", "/v1/events", content=a_delivery(event, open_event), headers=SERVICE).json()["new"] == 2
    statement = _closed(shared_call, {"tenant": "acme", **_OF_LAST_MONTH})
    return Platform(
        shared_call,
        {"admin": ADMIN, "tenant": bearer(callers_key), "service": SERVICE, "nobody": {}},
        {
            "tenant_id": "acme",
            "key_id": key,
            "webhook_id": hook,
            "event_id": event["id"],
            "name": f"{statement['series']}-{statement['number']:06}",
        },
    )


def _made(call: Call, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = call("POST", path, json=body, headers=ADMIN)
    assert answer.status_code == httpx.codes.CREATED, answer.text
    made: dict[str, Any] = answer.json()
    return made


def _closed(call: Call, closing: dict[str, str]) -> dict[str, Any]:
    """A statement, once the month is rolled up to its end."""
    deadline = time.monotonic() + WAIT_SECONDS
    while call(
        "GET", "/v1/statements/draft", params={"tenant": "acme", "month": closing["month"]}, headers=ADMIN
    ).is_error:
        assert time.monotonic() < deadline
    return _made(call, "/v1/statements", closing)


def _directed(case: Case[Any], there: dict[str, str]) -> Case[Any]:
    """The case as it is, or about what is there: half and half, as its own content has it."""
    content = repr((case.method, case.path_parameters, case.query, case.body)).encode()
    if zlib.crc32(content) % 2:
        for name in case.path_parameters:
            case.path_parameters[name] = there[name]
    return case


# The application is there once for all cases, and they may take their time on a busy machine.
_RANDOM = settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def _answered(case: Case[Any], caller: str, platform: Platform) -> httpx.Response:
    """The answer, which is as documented."""
    case.headers.pop("Authorization", None)
    wanted = requests.Request(**case.as_transport_kwargs("http://metering", platform.credentials[caller])).prepare()
    answer = platform.call(wanted.method, wanted.url, headers=dict(wanted.headers), content=wanted.body)
    case.validate_response(answer, checks=CHECKS)
    return answer


@pytest.mark.parametrize("caller", ["admin", "tenant"])
@API.parametrize()
@settings(_RANDOM, max_examples=10)
def test_every_answer_is_documented_and_no_error_is_the_services(
    case: Case[Any], caller: str, platform: Platform
) -> None:
    _answered(_directed(case, platform.there), caller, platform)


@API.include(path=["/v1/events", "/v1/directory", "/v1/gpu-cost/replica-hours"]).parametrize()
@settings(_RANDOM, max_examples=10)
def test_every_answer_to_a_part_of_the_platform_is_documented(case: Case[Any], platform: Platform) -> None:
    _answered(_directed(case, platform.there), "service", platform)


@pytest.mark.parametrize("caller", ["service", "nobody"])
@REFUSED.parametrize()
@settings(_RANDOM, max_examples=5)
def test_every_refusal_is_documented(case: Case[Any], caller: str, platform: Platform) -> None:
    _answered(_directed(case, platform.there), caller, platform)


@pytest.mark.parametrize(("method", "path", "query", "body"), VALID)
def test_what_chance_rarely_finds_is_answered_as_documented(
    platform: Platform, method: str, path: str, query: dict[str, str], body: Any
) -> None:
    operation = API[path][method]
    names = [each.name for each in operation.path_parameters]
    given = {} if body is None else {"body": body, "media_type": "application/json"}
    case = operation.Case(path_parameters={name: platform.there[name] for name in names}, query=query, **given)
    assert _answered(case, "admin", platform).is_success


def test_every_operation_but_health_names_how_to_authenticate() -> None:
    open_to_all = {
        path
        for path, operations in DOCUMENT["paths"].items()
        for operation in operations.values()
        if operation.get("security") != [{"token": []}]
    }
    assert open_to_all == {"/healthz", "/readyz", "/metrics"}
