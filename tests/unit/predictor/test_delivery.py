"""Events leave the outbox when metering has said that they are committed, and not before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import structlog.testing
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from kat_predictor.delivery import Delivery
from kat_predictor.metrics import Metrics
from kat_predictor.outbox import Outbox
from tests.fakes.conditions import until
from tests.fakes.tenants import a_usage_event

Answer = Callable[[list[dict[str, Any]]], httpx.Response | Exception]


def acknowledge(events: list[dict[str, Any]]) -> httpx.Response:
    return httpx.Response(200, json={"new": len(events), "duplicate": 0, "rejected": 0, "rejections": []})


def answer(status: int, **arguments: Any) -> Answer:
    return lambda _: httpx.Response(status, **arguments)


class Metering:
    """Answers batches as scripted, and acknowledges once the script is over."""

    def __init__(self) -> None:
        self.script: list[Answer] = []
        self.batches: list[list[str]] = []
        self.requests: list[httpx.Request] = []
        self.at_once = 0

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        assert not self.at_once, "one batch at a time"
        self.at_once += 1
        await asyncio.sleep(0)
        self.at_once -= 1
        events = orjson.loads(request.content)
        self.requests.append(request)
        self.batches.append([event["id"] for event in events])
        result = (self.script.pop(0) if self.script else acknowledge)(events)
        if isinstance(result, Exception):
            raise result
        return result


@pytest.fixture
def metering() -> Metering:
    return Metering()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def outbox(tmp_path: Path) -> AsyncGenerator[Outbox]:
    outbox = await Outbox.open(tmp_path / "outbox", max_events=10_000)
    yield outbox
    await outbox.close()


@pytest.fixture
async def delivery(outbox: Outbox, metering: Metering, registry: CollectorRegistry) -> AsyncGenerator[Delivery]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(metering), base_url="http://metering") as client:
        yield Delivery(
            outbox=outbox,
            client=client,
            token=SecretStr("service"),
            metrics=Metrics(registry),
            linger_seconds=0,
            first_pause_seconds=0.001,
            jitter=lambda: 1.0,
        )


async def put(outbox: Outbox, count: int) -> list[str]:
    events = [a_usage_event() for _ in range(count)]
    await asyncio.gather(*(outbox.reserve().put(event) for event in events))
    return [str(event.id) for event in events]


async def deliver_all(delivery: Delivery) -> int:
    """Run until the outbox is empty."""
    run = asyncio.create_task(delivery.run())
    left = await delivery.drain(deadline_seconds=5)
    await asyncio.wait_for(run, 5)
    return left


async def pause_after(delivery: Delivery, outbox: Outbox) -> float:
    """The pause that one failed attempt asks for."""
    await put(outbox, 1)
    pause = await delivery._send_oldest()
    assert outbox.events == 1, "the attempt did not fail"
    return pause


async def test_events_are_delivered_in_order(delivery: Delivery, outbox: Outbox, metering: Metering) -> None:
    ids = await put(outbox, 5)
    await deliver_all(delivery)
    assert metering.batches == [ids]


async def test_delivered_events_leave_the_outbox(delivery: Delivery, outbox: Outbox) -> None:
    await put(outbox, 5)
    assert await deliver_all(delivery) == 0
    assert outbox.events == 0


async def test_a_batch_holds_a_thousand_events_at_most(delivery: Delivery, outbox: Outbox, metering: Metering) -> None:
    ids = await put(outbox, 1_500)
    await deliver_all(delivery)
    assert metering.batches == [ids[:1_000], ids[1_000:]]


async def test_a_batch_says_what_it_is_and_who_sends_it(delivery: Delivery, outbox: Outbox, metering: Metering) -> None:
    await put(outbox, 1)
    await deliver_all(delivery)
    request = metering.requests[0]
    assert (request.method, request.url.path) == ("POST", "/v1/events")
    assert request.headers["Content-Type"] == "application/cloudevents-batch+json"
    assert request.headers["Authorization"] == "Bearer service"


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(lambda _: httpx.ConnectError("refused"), id="metering is away"),
        pytest.param(lambda _: httpx.ReadTimeout("slow"), id="the answer does not come"),
        pytest.param(lambda _: httpx.RemoteProtocolError("cut"), id="the connection is cut"),
        pytest.param(answer(503), id="the database is away"),
        pytest.param(answer(500), id="metering fails"),
        pytest.param(answer(401), id="the token is wrong"),
        pytest.param(answer(403), id="the token may not"),
        pytest.param(answer(400), id="the batch is no batch"),
        pytest.param(answer(413), id="one event is too large"),
        pytest.param(answer(404), id="that is not metering"),
        pytest.param(answer(302, headers={"Location": "/"}), id="a proxy redirects"),
        pytest.param(answer(204), id="nothing is said"),
        pytest.param(answer(200, text="<html>"), id="a proxy says 200"),
        pytest.param(answer(200, json={"new": 0, "duplicate": 0, "rejected": 0}), id="nothing is acknowledged"),
        pytest.param(answer(200, json={"new": 2, "duplicate": 0, "rejected": 0}), id="too much is acknowledged"),
        pytest.param(answer(200, json={"new": -1, "duplicate": 2, "rejected": 0}), id="nonsense is acknowledged"),
    ],
)
async def test_an_event_is_kept_and_sent_again(
    delivery: Delivery, outbox: Outbox, metering: Metering, failure: Answer
) -> None:
    metering.script = [failure, failure]
    ids = await put(outbox, 1)
    assert await deliver_all(delivery) == 0
    assert metering.batches == [ids, ids, ids]


async def test_an_event_that_metering_knows_already_is_delivered(
    delivery: Delivery, outbox: Outbox, metering: Metering
) -> None:
    metering.script = [answer(200, json={"new": 0, "duplicate": 1, "rejected": 0, "rejections": []})]
    await put(outbox, 1)
    assert await deliver_all(delivery) == 0
    assert len(metering.batches) == 1


async def test_a_rejected_event_is_metering_s_now_and_counted(
    delivery: Delivery, outbox: Outbox, metering: Metering, registry: CollectorRegistry
) -> None:
    ids = await put(outbox, 2)
    rejection = {"index": 1, "id": ids[1], "reason": "time is in the future"}
    metering.script = [answer(200, json={"new": 1, "duplicate": 0, "rejected": 1, "rejections": [rejection]})]
    with structlog.testing.capture_logs() as logs:
        assert await deliver_all(delivery) == 0
    assert registry.get_sample_value("kat_outbox_rejected_total") == 1
    assert [(log["event_id"], log["reason"]) for log in logs if log["event"] == "event_rejected"] == [
        (ids[1], "time is in the future")
    ]


async def test_rejections_of_an_answer_that_does_not_count_are_not_counted(
    delivery: Delivery, outbox: Outbox, metering: Metering, registry: CollectorRegistry
) -> None:
    """The batch is sent again, and its rejections come again."""
    metering.script = [
        answer(200, json={"new": 0, "duplicate": 0, "rejected": 1}),
        answer(200, json={"new": 0, "duplicate": 1, "rejected": 1}),
    ]
    await put(outbox, 2)
    assert await deliver_all(delivery) == 0
    assert registry.get_sample_value("kat_outbox_rejected_total") == 1


async def test_a_batch_that_is_too_large_is_halved_until_it_fits(
    delivery: Delivery, outbox: Outbox, metering: Metering
) -> None:
    metering.script = [answer(413), answer(413)]
    ids = await put(outbox, 8)
    assert await deliver_all(delivery) == 0
    assert metering.batches == [ids, ids[:4], ids[:2], ids[2:6], ids[6:]]


async def test_pauses_double_up_to_half_a_minute(delivery: Delivery, outbox: Outbox, metering: Metering) -> None:
    metering.script = [answer(503)] * 20
    await put(outbox, 1)
    pauses = [await delivery._send_oldest() for _ in range(20)]
    assert pauses[:4] == pytest.approx([0.001, 0.002, 0.004, 0.008])
    assert pauses[-1] == 30


async def test_jitter_shortens_a_pause_by_half_at_most(delivery: Delivery, outbox: Outbox, metering: Metering) -> None:
    delivery._jitter = lambda: 0.0
    metering.script = [answer(503)]
    assert await pause_after(delivery, outbox) == pytest.approx(0.0005)


async def test_pauses_are_short_again_after_a_success(delivery: Delivery, outbox: Outbox, metering: Metering) -> None:
    metering.script = [answer(503), answer(503), acknowledge, answer(503)]
    await put(outbox, 1)
    for _ in range(3):
        await delivery._send_oldest()
    assert await pause_after(delivery, outbox) == pytest.approx(0.001)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        pytest.param("7", 7, id="seconds"),
        pytest.param("99999", 300, id="beyond belief"),
        pytest.param("soon", 0.001, id="nonsense"),
        pytest.param("-1", 0.001, id="negative"),
    ],
)
async def test_retry_after_is_honoured(
    delivery: Delivery, outbox: Outbox, metering: Metering, value: str, seconds: float
) -> None:
    metering.script = [answer(503, headers={"Retry-After": value})]
    assert await pause_after(delivery, outbox) == pytest.approx(seconds)


async def test_retry_after_may_be_a_date(delivery: Delivery, outbox: Outbox, metering: Metering) -> None:
    date = format_datetime(datetime.now(tz=UTC) + timedelta(seconds=60), usegmt=True)
    metering.script = [answer(503, headers={"Retry-After": date})]
    assert await pause_after(delivery, outbox) == pytest.approx(60, abs=5)


@pytest.mark.parametrize(("status", "level"), [(401, "error"), (403, "error"), (400, "error"), (503, "warning")])
async def test_what_somebody_must_repair_is_an_error_in_the_log(
    delivery: Delivery, outbox: Outbox, metering: Metering, status: int, level: str
) -> None:
    metering.script = [answer(status, text="because")]
    with structlog.testing.capture_logs() as logs:
        await pause_after(delivery, outbox)
    assert [(log["log_level"], f"{status}: because" in log["reason"]) for log in logs] == [(level, True)]


async def test_the_token_is_never_logged(delivery: Delivery, outbox: Outbox, metering: Metering) -> None:
    metering.script = [answer(401, text="bad token")]
    with structlog.testing.capture_logs() as logs:
        await pause_after(delivery, outbox)
    assert "Bearer" not in str(logs)


async def test_events_that_come_while_it_runs_are_delivered(
    delivery: Delivery, outbox: Outbox, metering: Metering
) -> None:
    run = asyncio.create_task(delivery.run())
    for _ in range(3):
        await put(outbox, 1)
        await until(lambda: not outbox.events)
    await delivery.drain(deadline_seconds=5)
    await run
    assert sum(len(batch) for batch in metering.batches) == 3


async def test_draining_ends_at_its_deadline_and_says_what_is_left(
    delivery: Delivery, outbox: Outbox, metering: Metering
) -> None:
    metering.script = [answer(503)] * 1_000
    await put(outbox, 3)
    run = asyncio.create_task(delivery.run())
    assert await delivery.drain(deadline_seconds=0.01) == 3
    run.cancel()


async def test_draining_does_not_wait_for_a_long_pause(delivery: Delivery, outbox: Outbox, metering: Metering) -> None:
    metering.script = [answer(503, headers={"Retry-After": "300"})]
    await put(outbox, 1)
    run = asyncio.create_task(delivery.run())
    await until(lambda: metering.batches)
    assert await delivery.drain(deadline_seconds=5) == 0
    await run


async def test_draining_an_empty_outbox_is_done_at_once(delivery: Delivery) -> None:
    assert await deliver_all(delivery) == 0
