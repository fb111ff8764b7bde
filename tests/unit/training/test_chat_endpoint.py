"""One call to an OpenAI-compatible endpoint: what it said, or which way it failed."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from kat.usage_event import Mode
from kat_training.chat_endpoint import CallFailed, ChatEndpoint, Endpoint, EndpointRefused, Failing, Reply
from kat_training.sample import Message
from tests.fakes.openai_models import Models, completion

ASKED = (Message("user", "What is 7 + 5?"),)
ENDPOINT = Endpoint("http://teacher/v1/", "big", "secret")


class Waits:
    """Remembers how long it was to wait, and does not."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


async def ask(
    transport: httpx.AsyncBaseTransport, endpoint: Endpoint = ENDPOINT, waits: Waits | None = None, **given: Any
) -> Reply:
    async with httpx.AsyncClient(transport=transport) as client:
        return await ChatEndpoint(endpoint, client, sleep=waits or Waits()).ask(ASKED, **given)


async def test_a_reply_has_its_text_mode_and_counts() -> None:
    models = Models(lambda _, __: completion("12", tokens=3, mode="off"))
    assert await ask(models) == Reply("12", "", Mode.OFF, 10, 3, cut_off=False)


async def test_the_request_names_model_messages_and_key() -> None:
    models = Models(lambda _, __: completion("12", tokens=3))
    await ask(models, max_tokens=9)
    body = {"model": "big", "messages": [{"role": "user", "content": "What is 7 + 5?"}], "max_tokens": 9}
    assert models.sent == [("teacher", body, "Bearer secret")]


async def test_labels_go_only_where_they_are_metered() -> None:
    models = Models(lambda _, __: completion("12", tokens=3))
    await ask(models, labels={"role": "critic"})
    await ask(models, Endpoint("http://ours/v1", "m", labels={"training": "teacher"}), labels={"role": "critic"})
    assert [body.get("metadata") for _, body, _ in models.sent] == [None, {"training": "teacher", "role": "critic"}]


async def test_a_reply_at_its_limit_is_cut_off() -> None:
    reply = await ask(Models(lambda _, __: completion("1", tokens=3, finish_reason="length")))
    assert reply.cut_off


@pytest.mark.parametrize("status", [401, 402, 403, 404])
async def test_what_no_further_call_would_change_is_a_refusal(status: int) -> None:
    with pytest.raises(EndpointRefused, match=str(status)):
        await ask(Models(lambda _, __: status))


async def test_a_spent_budget_is_a_refusal_and_is_not_waited_for() -> None:
    waits = Waits()
    spent = {"error": {"code": "insufficient_quota"}}
    transport = httpx.MockTransport(lambda _: httpx.Response(429, json=spent, headers={"Retry-After": "9"}))
    with pytest.raises(EndpointRefused):
        await ask(transport, waits=waits)
    assert waits.seconds == []


async def test_a_busy_endpoint_is_asked_again_after_the_time_that_it_names() -> None:
    answers = iter(
        [httpx.Response(503, headers={"Retry-After": "3"}), httpx.Response(200, json=completion("12", tokens=1))]
    )
    waits = Waits()
    reply = await ask(httpx.MockTransport(lambda _: next(answers)), waits=waits)
    assert (reply.text, waits.seconds) == ("12", [3.0])


async def test_an_endpoint_that_stays_busy_is_given_up() -> None:
    models, waits = Models(lambda _, __: 429), Waits()
    with pytest.raises(CallFailed, match="429"):
        await ask(models, waits=waits)
    assert (len(models.sent), waits.seconds) == (4, [2.0, 4.0, 8.0])


@pytest.mark.parametrize(
    ("failure", "failing"),
    [(httpx.ReadTimeout("slow"), Failing.TIMEOUT), (httpx.ConnectError("gone"), Failing.FAILED)],
    ids=["too slow", "away"],
)
async def test_time_outs_and_lost_connections_are_told_apart(failure: httpx.HTTPError, failing: Failing) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise failure

    with pytest.raises(CallFailed) as caught:
        await ask(httpx.MockTransport(fail))
    assert caught.value.failing is failing


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"{}", b"[]", b'{"choices": [], "usage": {}}', b'{"choices": [{"message": {"content": "x"}}]}'],
    ids=["no JSON", "empty", "a list", "no choice", "no usage"],
)
async def test_what_is_no_completion_with_usage_is_garbage(body: bytes) -> None:
    with pytest.raises(CallFailed) as caught:
        await ask(httpx.MockTransport(lambda _: httpx.Response(200, content=body)))
    assert caught.value.failing is Failing.GARBAGE


async def test_a_failure_quotes_nothing_that_was_said() -> None:
    with pytest.raises(CallFailed) as caught:
        await ask(Models(lambda _, __: 500))
    assert "secret" not in str(caught.value)
