"""One chat completion from an OpenAI-compatible endpoint, typed, with every way to fail told apart."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Any, Final

import httpx

from kat.usage_event import Mode
from kat_training.sample import Message

Sleep = Callable[[float], Awaitable[None]]
_REFUSALS: Final = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.PAYMENT_REQUIRED}
_BUSY: Final = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
_BUDGET_SPENT: Final = "insufficient_quota"
_ATTEMPTS: Final = 4
_LONGEST_WAIT: Final = 60.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model behind an OpenAI-compatible API; `url` is its base, with /v1 where it has one."""

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    labels: Mapping[str, str] | None = None
    """For a predictor of ours: the labels under which its metering counts the calls."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What an endpoint said, and the tokens that it counted."""

    text: str
    thought: str
    """Reasoning that came in a field of its own."""
    mode: Mode | None
    """As a predictor of ours says it."""
    prompt_tokens: int
    completion_tokens: int
    cut_off: bool


class Failing(StrEnum):
    """How a call failed that another one may not."""

    TIMEOUT = "timeout"
    FAILED = "failed"
    """No connection, or an error of the server's."""
    GARBAGE = "garbage"
    """An answer that is no chat completion with usage."""


class CallFailed(Exception):
    """This call failed. Its message quotes nothing of what was asked or answered."""

    def __init__(self, failing: Failing, message: str) -> None:
        super().__init__(message)
        self.failing = failing


class EndpointRefused(Exception):
    """The endpoint will refuse every further call, too: a bad key, an unknown model, a spent budget."""


class ChatEndpoint:
    """Asks one endpoint.

    Args:
        endpoint: Which one.
        client: With the time-out that a call may take.
        sleep: Waits between attempts while the endpoint is busy.
    """

    def __init__(self, endpoint: Endpoint, client: httpx.AsyncClient, *, sleep: Sleep = asyncio.sleep) -> None:
        self._endpoint = endpoint
        self._client = client
        self._sleep = sleep
        self._url = f"{endpoint.url.rstrip('/')}/chat/completions"
        self._headers = {} if endpoint.key is None else {"Authorization": f"Bearer {endpoint.key}"}

    async def ask(self, messages: Sequence[Message], *, labels: Mapping[str, str] | None = None, **given: Any) -> Reply:
        """One completion. A busy endpoint (429, 503) is asked again a few times, after the time that it names.

        Args:
            messages: The conversation.
            labels: More labels of this call, where the endpoint takes labels.
            given: Further fields of the request, such as `max_tokens`.

        Raises:
            CallFailed: This call came to nothing.
            EndpointRefused: No call will come to anything.
        """
        request: dict[str, Any] = {
            "model": self._endpoint.model,
            "messages": [{"role": each.role, "content": each.content} for each in messages],
            **given,
        }
        if self._endpoint.labels is not None:
            request["metadata"] = {**self._endpoint.labels, **(labels or {})}
        for attempt in range(1, _ATTEMPTS + 1):
            answer = await self._post(request)
            if answer.status_code not in _BUSY or _BUDGET_SPENT in answer.text or attempt == _ATTEMPTS:
                break
            await self._sleep(_wait(answer, attempt))
        return self._read(answer)

    async def _post(self, request: Mapping[str, Any]) -> httpx.Response:
        try:
            return await self._client.post(self._url, json=request, headers=self._headers)
        except httpx.TimeoutException as error:
            raise CallFailed(Failing.TIMEOUT, "the endpoint took too long") from error
        except httpx.HTTPError as error:
            raise CallFailed(Failing.FAILED, f"the endpoint did not answer: {type(error).__name__}") from error

    def _read(self, answer: httpx.Response) -> Reply:
        if answer.status_code in _REFUSALS or (answer.status_code in _BUSY and _BUDGET_SPENT in answer.text):
            raise EndpointRefused(f"{self._endpoint.url} refuses {self._endpoint.model}: {answer.status_code}")
        if not answer.is_success:
            raise CallFailed(Failing.FAILED, f"the endpoint answered {answer.status_code}")
        try:
            return _reply(answer.json())
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise CallFailed(Failing.GARBAGE, f"no chat completion with usage: {type(error).__name__}") from error


def _reply(body: dict[str, Any]) -> Reply:
    choice, usage = body["choices"][0], body["usage"]
    message, mode = choice["message"], (body.get("kat") or {}).get("mode")
    return Reply(
        text=str(message.get("content") or ""),
        thought=str(message.get("reasoning") or message.get("reasoning_content") or ""),
        mode=None if mode is None else Mode(mode),
        prompt_tokens=int(usage["prompt_tokens"]),
        completion_tokens=int(usage["completion_tokens"]),
        cut_off=choice.get("finish_reason") == "length",
    )


def _wait(answer: httpx.Response, attempt: int) -> float:
    try:
        named = float(answer.headers.get("Retry-After", ""))
    except ValueError:  # none, or a date
        named = 2.0**attempt
    return min(max(named, 0.0), _LONGEST_WAIT)
