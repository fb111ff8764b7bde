"""A Prometheus that does not answer as it should."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kat_operator.autoscaler.prometheus import Prometheus
from kat_operator.errors import PrometheusFailed
from tests.fakes.clock import Clock

Answers = list[web.Response | None]
"""One after another, the last again and again; None is no answer."""


class Broken:
    """Its address, and how often it was asked."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.asked = 0
        self.released = asyncio.Event()

    async def handle(self, _request: web.Request) -> web.StreamResponse:
        self.asked += 1
        answer = self.answers[min(self.asked, len(self.answers)) - 1]
        if answer is None:
            await self.released.wait()
            return web.Response()
        return web.Response(status=answer.status, body=answer.body)


@pytest.fixture
async def session() -> AsyncGenerator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def served(broken: Broken) -> TestServer:
    app = web.Application()
    app.router.add_post("/api/v1/query", broken.handle)
    return TestServer(app)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (web.Response(status=503, text="warming up"), "answered 503: warming up"),
        (web.Response(status=422, text="bad query"), "answered 422: bad query"),
        (web.Response(text="<html>sign in</html>"), "no JSON: <html>"),
        (web.Response(text="{}"), "a form of its own"),
        (None, "did not answer within"),
    ],
    ids=["503", "422", "html", "empty", "silence"],
)
async def test_a_bad_answer_is_told_in_one_line(
    session: aiohttp.ClientSession, answer: web.Response | None, message: str
) -> None:
    broken = Broken([answer])
    async with served(broken) as server:
        prometheus = Prometheus(session, str(server.make_url("/")), timeout_seconds=0.2 if answer is None else 5.0)
        with pytest.raises(PrometheusFailed, match=message):
            await prometheus.samples()
        broken.released.set()


async def test_all_services_share_one_failure(session: aiohttp.ClientSession) -> None:
    """A time-out for each of two hundred services would take longer than their interval."""
    broken = Broken([web.Response(status=500)])
    async with served(broken) as server:
        prometheus = Prometheus(session, str(server.make_url("/")))
        failures = await asyncio.gather(*(prometheus.samples() for _ in range(200)), return_exceptions=True)
    assert {type(failure) for failure in failures} == {PrometheusFailed}
    assert broken.asked == 1


async def test_a_failure_is_forgotten_with_the_next_good_answer(session: aiohttp.ClientSession) -> None:
    good = web.Response(text='{"status": "success", "data": {"resultType": "vector", "result": []}}')
    clock = Clock()
    broken = Broken([web.Response(status=500), good])
    async with served(broken) as server:
        prometheus = Prometheus(session, str(server.make_url("/")), monotonic=clock.monotonic)
        with pytest.raises(PrometheusFailed):
            await prometheus.samples()
        clock.advance(5)
        assert await prometheus.samples() == {}
