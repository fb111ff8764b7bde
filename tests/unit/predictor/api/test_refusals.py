"""Who is not served, and how they are told."""

import asyncio

import pytest

from kat.directory import Budget, BudgetState, Limits, Tenant
from tests.fakes.engine import Reply, ScriptedEngine
from tests.fakes.predictor import MODEL, Connection
from tests.unit.predictor.api.conftest import MakePredictor

CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "Hello?"}]}


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer sk-kat-unknown", "Basic abc", "sk-kat-of-acme"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/chat/completions"),
        ("POST", "/openai/v1/completions"),
        ("GET", "/v1/models"),
        ("GET", f"/openai/v1/models/{MODEL}"),
    ],
)
async def test_a_missing_or_wrong_key_is_a_401_whatever_the_body(
    make_predictor: MakePredictor, method: str, path: str, header: str
) -> None:
    predictor = await make_predictor()
    response = await predictor.client.request(method, path, headers={"Authorization": header}, content=b"{")
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_api_key"
    assert response.headers["www-authenticate"] == "Bearer"


async def test_a_full_replica_answers_503_and_says_when_to_come_back(make_predictor: MakePredictor) -> None:
    engine = ScriptedEngine([Reply("x", stall_after=0)])
    predictor = await make_predictor(engine, max_concurrent_requests=1, max_queued_requests=0)
    running = Connection(predictor.app, "/v1/chat/completions", CHAT)
    await engine.stalled.wait()
    response = await predictor.chat()
    await running.leave()
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "overloaded"
    assert int(response.headers["retry-after"]) >= 1
    assert (
        predictor.metric("kat_requests_total", model=MODEL, mode="undecided", mode_source="model", status="rejected")
        == 1
    )
    assert predictor.metric("kat_requests_overloaded_total", model=MODEL) == 1


async def test_a_tenant_over_its_own_limit_is_no_want_of_replicas(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(tenant=Tenant(id="acme", name="Acme", limits=Limits(requests_per_minute=1)))
    for _ in range(2):
        await predictor.chat()
    assert predictor.metric("kat_requests_overloaded_total", model=MODEL) == 0


async def test_a_tenant_over_its_own_limit_gets_429(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(tenant=Tenant(id="acme", name="Acme", limits=Limits(requests_per_minute=1)))
    first, second = [await predictor.chat() for _ in range(2)]
    assert (first.status_code, second.status_code) == (200, 429)
    assert second.json()["error"]["code"] == "rate_limit_exceeded"


async def test_a_key_over_its_own_limit_gets_429(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(key_limits=Limits(requests_per_minute=1))
    first, second = [await predictor.chat() for _ in range(2)]
    assert (first.status_code, second.status_code) == (200, 429)
    assert "of this API key" in second.json()["error"]["message"]


async def test_a_spent_budget_is_openais_insufficient_quota(make_predictor: MakePredictor) -> None:
    budget = Budget(monthly="10", currency="USD", spent="10", think_off_at="0.8", state=BudgetState.EXHAUSTED)
    predictor = await make_predictor(tenant=Tenant(id="acme", name="Acme", budget=budget))
    response = await predictor.chat(stream=True)
    assert response.status_code == 429
    assert response.json()["error"]["code"] == "insufficient_quota"


async def test_a_full_outbox_refuses_before_the_engine_works(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(max_events=1)
    assert (await predictor.chat()).status_code == 200
    calls = len(predictor.engine.calls)
    response = await predictor.chat()
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "outbox_full"
    assert len(predictor.engine.calls) == calls


async def test_a_refused_request_gives_its_place_in_the_outbox_back(make_predictor: MakePredictor) -> None:
    engine = ScriptedEngine([Reply("x", stall_after=0), "y"])
    predictor = await make_predictor(engine, max_concurrent_requests=1, max_queued_requests=0, max_events=2)
    running = Connection(predictor.app, "/v1/chat/completions", CHAT)
    await engine.stalled.wait()
    for _ in range(3):
        assert (await predictor.chat()).json()["error"]["code"] == "overloaded"
    engine.resume.set()
    await asyncio.wait((running.task,), return_when=asyncio.FIRST_COMPLETED)
    assert (await predictor.chat()).status_code == 200


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_an_engine_that_is_known_to_be_dead_gets_no_request_and_costs_nobody_anything(
    make_predictor: MakePredictor, stream: bool
) -> None:
    predictor = await make_predictor(ScriptedEngine(broken=True))
    response = await predictor.chat(stream=stream)
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "not_ready"
    assert response.headers["retry-after"]
    assert predictor.engine.calls == []
    assert await predictor.events() == []


@pytest.mark.parametrize("reply", [Reply("x", fail_after=0), Reply("x y z", fail_after=2)], ids=["at once", "midway"])
async def test_an_engine_that_fails_at_one_request_leaves_the_pod_healthy(
    make_predictor: MakePredictor, reply: Reply
) -> None:
    predictor = await make_predictor(ScriptedEngine([reply, "fine"]))
    assert (await predictor.chat()).json()["error"]["code"] == "engine_failed"
    for probe in ("/v2/health/live", "/v2/health/ready"):
        assert (await predictor.client.get(probe)).status_code == 200
    assert (await predictor.chat()).status_code == 200


async def test_before_the_model_is_loaded_requests_are_told_to_wait(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor(loaded=False)
    response = await predictor.chat()
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "not_ready"
    assert response.headers["retry-after"]


async def test_a_draining_replica_takes_no_more(make_predictor: MakePredictor) -> None:
    predictor = await make_predictor()
    predictor.serving.drain()
    response = await predictor.chat()
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "shutting_down"


@pytest.mark.parametrize(
    ("loaded", "broken", "draining", "live", "ready"),
    [
        (False, False, False, 200, 503),
        (True, False, False, 200, 200),
        (True, True, False, 503, 503),
        (True, False, True, 200, 503),
    ],
    ids=["loading", "serving", "engine dead", "draining"],
)
async def test_health_says_what_is_true(
    make_predictor: MakePredictor, loaded: bool, broken: bool, draining: bool, live: int, ready: int
) -> None:
    predictor = await make_predictor(ScriptedEngine(broken=broken), loaded=loaded)
    if draining:
        predictor.serving.drain()
    client = predictor.client
    assert {(await client.get(path)).status_code for path in ("/", "/healthz", "/v2/health/live")} == {live}
    assert {(await client.get(path)).status_code for path in ("/v2/health/ready", f"/v1/models/{MODEL}")} == {ready}
