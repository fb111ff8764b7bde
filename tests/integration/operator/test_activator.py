"""What answers for a service without a replica."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
from aiohttp.test_utils import TestClient, TestServer

from kat_operator.activator import Wishes, activator_app
from kat_operator.kinds import Key
from tests.fakes.clock import Clock
from tests.fakes.wishes import KAT, wishes_for_kat

HOST = {"Host": "kat.llm.svc.cluster.local"}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def woken() -> list[Key]:
    return []


@pytest.fixture
def wishes(clock: Clock, woken: list[Key]) -> Wishes:
    return wishes_for_kat(clock, woken)


@pytest.fixture
async def client(wishes: Wishes) -> AsyncGenerator[TestClient]:  # type: ignore[type-arg]  # its parameters are private
    async with TestClient(TestServer(activator_app(wishes))) as client:
        yield client


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/", "/v2/health/ready", "/healthz"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_every_request_is_a_503_that_raises_the_wish(
    client: TestClient,  # type: ignore[type-arg]
    wishes: Wishes,
    method: str,
    path: str,
) -> None:
    response = await client.request(method, path, headers=HOST)
    assert response.status == 503
    assert wishes.wanted(KAT)


async def test_the_answer_is_an_error_of_openais_api(client: TestClient) -> None:  # type: ignore[type-arg]
    response = await client.post("/v1/chat/completions", headers=HOST, json={"messages": []})
    assert await response.json() == {
        "error": {
            "message": "kat is starting; try again in about 240 seconds.",
            "type": "service_unavailable_error",
            "param": None,
            "code": "service_starting",
        }
    }


async def test_a_client_is_told_when_a_replica_may_be_there(client: TestClient, clock: Clock) -> None:  # type: ignore[type-arg]
    first = await client.get("/", headers=HOST)
    clock.advance(100)
    second = await client.get("/", headers=HOST)
    assert [response.headers["Retry-After"] for response in (first, second)] == ["240", "140"]


async def test_a_start_that_takes_longer_than_expected_is_asked_about_every_second(
    client: TestClient,  # type: ignore[type-arg]
    clock: Clock,
) -> None:
    await client.get("/", headers=HOST)
    clock.advance(250)
    assert (await client.get("/", headers=HOST)).headers["Retry-After"] == "1"


async def test_no_connection_outlives_its_answer(client: TestClient) -> None:  # type: ignore[type-arg]
    """An open one would lead here for as long as it lives, also once a replica is ready."""
    response = await client.get("/", headers=HOST)
    assert response.headers["Connection"] == "close"


async def test_an_unknown_host_raises_no_wish(client: TestClient, woken: list[Key]) -> None:  # type: ignore[type-arg]
    response = await client.get("/", headers={"Host": "other.llm.svc"})
    assert (response.status, (await response.json())["error"]["code"]) == (503, "service_unknown")
    assert woken == []


async def test_a_probe_that_asks_for_no_service_sees_that_the_activator_is_well(client: TestClient) -> None:  # type: ignore[type-arg]
    assert (await client.get("/healthz")).status == 200
