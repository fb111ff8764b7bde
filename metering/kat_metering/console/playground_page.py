"""The playground: a real answer, streamed, with what thinking took, cost and saved.

The browser talks to this service alone. It puts the visitor's own API key on the request to the predictor, so the key
never returns to a page, and the request is counted and limited as any other of that key.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Any, Final
from uuid import UUID

import httpx
import orjson
import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Receive, Scope, Send

from kat.directory import KEY_PREFIX
from kat_metering.console import figures
from kat_metering.console.pages import page
from kat_metering.console.visitor import OwnForm, SignedIn, Visitor
from kat_metering.errors import NotFoundError
from kat_metering.methods import Method
from kat_metering.request_report import RequestReport, request_report
from kat_metering.store.engine import reading
from kat_metering.valuation import DEFAULT_BASELINE

log = structlog.get_logger(__name__)
router = APIRouter()

_MODEL_SECONDS: Final = 5
_TIMEOUT: Final = httpx.Timeout(10, read=300)
_MOST_TOKENS: Final = 32_768
_LONGEST_PROMPT: Final = 100_000

TEXTS: Final = (
    "asking", "judging", "thinking", "answering", "done", "stopped", "failed", "limit_reached", "rating", "not_rated",
    "unpriced", "no_saving", "per_million", "unreachable", "gone",
)  # fmt: skip
"""What the page's script says; keys of the wording under `playground.`."""


class ModeWish(StrEnum):
    """Whether to think."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


class Question(BaseModel):
    """What the page's script sends."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Annotated[str, Field(min_length=1, max_length=200)]
    prompt: Annotated[str, Field(min_length=1, max_length=_LONGEST_PROMPT)]
    mode: ModeWish = ModeWish.AUTO
    max_tokens: Annotated[int, Field(ge=1, le=_MOST_TOKENS)] = 512

    def request(self) -> dict[str, Any]:
        """The predictor's request."""
        wish = {} if self.mode is ModeWish.AUTO else {"enable_thinking": self.mode is ModeWish.ON}
        return {
            "model": self.model,
            "messages": [{"role": "user", "content": self.prompt}],
            "max_tokens": self.max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
            **({"chat_template_kwargs": wish} if wish else {}),
        }


@router.get("/playground")
async def playground(request: Request, visitor: SignedIn) -> Response:
    url, model = visitor.services.settings.predictor_url, None
    problem = "no_predictor" if url is None else None if _has_key(visitor) else "no_key"
    if url is not None and problem is None:
        model = await _served_model(url, visitor)
        problem = None if model else "unreachable"
    say = visitor.say
    texts = {name: say(f"playground.{name}") for name in TEXTS}
    texts |= {f"source.{name}": say(f"mode_source.{name}") for name in ("model", "instruction", "request", "budget")}
    texts |= {f"mode.{name}": say(f"mode.{name}") for name in ("on", "off", "undecided")}
    texts |= {f"basis.{name}": say(f"basis.{name}") for name in ("measured", "cited", "equal_tokens")}
    return page(
        request,
        "playground",
        visitor=visitor,
        problem=problem,
        model=model,
        modes=list(ModeWish),
        texts=orjson.dumps(texts).decode(),
        most_tokens=_MOST_TOKENS,
    )


@router.post("/playground/answers")
async def answer(visitor: SignedIn, _: OwnForm, question: Question) -> Response:
    """The predictor's own stream, as it comes; when the visitor leaves, the predictor's work ends."""
    url = visitor.services.settings.predictor_url
    if url is None or not _has_key(visitor):
        raise NotFoundError("There is no playground.")
    async with AsyncExitStack() as opened:
        client = await opened.enter_async_context(httpx.AsyncClient(base_url=url, timeout=_TIMEOUT))
        try:
            answered = await opened.enter_async_context(
                client.stream("POST", "/v1/chat/completions", json=question.request(), headers=_key_of(visitor))
            )
            if answered.is_error:
                return _refusal(answered.status_code, await answered.aread())
        except httpx.TransportError as error:
            log.warning("predictor unreachable", error=repr(error))
            return _problem("unreachable")
        return _Relay(answered, opened.pop_all())


@router.get("/playground/requests/{event_id}")
def rated(visitor: SignedIn, event_id: UUID) -> Response:
    """Cost and savings of a request; 204 until its predictor has delivered it, and for another tenant's."""
    with reading(visitor.services.engine, visitor.identity.tenant) as connection:
        try:
            report = request_report(connection, event_id, DEFAULT_BASELINE)
        except NotFoundError:
            return Response(status_code=HTTPStatus.NO_CONTENT)
    return JSONResponse(_figures(report))


def _figures(report: RequestReport) -> dict[str, Any]:
    """A single request costs a fraction of a cent's thousandth, so money is that of a million such requests."""
    saving = report.savings[Method.L2]
    return {
        "cost": _per_million(report.cost),
        "currency": report.currency,
        "savings": _per_million(saving.amount),
        "baseline": report.baseline.name,
        "baseline_cost": _per_million(saving.baseline_cost),
        "basis": saving.label,
    }


def _per_million(amount: Any) -> str | None:
    return None if amount is None else figures.money(amount * 1_000_000, 2)


class _Relay(StreamingResponse):
    """Passes a stream on. However it ends, also before its first byte, the connection behind it is closed."""

    def __init__(self, answered: httpx.Response, opened: AsyncExitStack) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(_pieces(answered), media_type="text/event-stream", headers=headers)
        self._opened = opened

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._opened:
            await super().__call__(scope, receive, send)


async def _pieces(answered: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for piece in answered.aiter_raw():
            yield piece
    except httpx.TransportError as error:
        log.warning("predictor gone", error=repr(error))
        yield b'data: {"error":{"code":"gone"}}\n\n'


def _refusal(status: int, body: bytes) -> Response:
    try:
        error: Mapping[str, Any] = orjson.loads(body)["error"]
        message = str(error.get("message", ""))
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        # Not of the predictor's own making, such as a proxy's page.
        message = ""
    return _problem("refused", status=status, message=message)


def _problem(code: str, **details: Any) -> Response:
    # Told as an event of the stream: the script reads one kind of answer.
    body = orjson.dumps({"error": {"code": code, **details}})
    return Response(b"data: %b\n\n" % body, media_type="text/event-stream")


async def _served_model(url: str, visitor: Visitor) -> str | None:
    try:
        async with httpx.AsyncClient(base_url=url, timeout=_MODEL_SECONDS) as client:
            answered = await client.get("/v1/models", headers=_key_of(visitor))
            answered.raise_for_status()
            return str(answered.json()["data"][0]["id"])
    except (httpx.HTTPError, orjson.JSONDecodeError, ValueError, LookupError, TypeError) as error:
        log.warning("predictor does not say its model", error=repr(error))
        return None


def _has_key(visitor: Visitor) -> bool:
    return visitor.session.token.get_secret_value().startswith(KEY_PREFIX)


def _key_of(visitor: Visitor) -> dict[str, str]:
    return {"Authorization": f"Bearer {visitor.session.token.get_secret_value()}"}
