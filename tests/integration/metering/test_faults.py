"""What metering acknowledged survives whatever is killed, and a delivery sent again counts once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import Engine, select, text

from kat_metering.store.tables import usage_event
from tests.fakes.metering import ADMIN, ADMIN_TOKEN, SERVICE, SERVICE_TOKEN
from tests.fakes.metering_process import WAIT_SECONDS, MeteringProcess, metering_process
from tests.fakes.usage_events import a_delivery, an_event

Delivery = list[dict[str, Any]]


def deliveries(count: int, size: int = 20) -> list[Delivery]:
    return [[an_event() for _ in range(size)] for _ in range(count)]


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {WAIT_SECONDS} s in vain")
        time.sleep(0.01)


def ids_in(engine: Engine) -> list[UUID]:
    with engine.connect() as connection:
        return list(connection.execute(select(usage_event.c.id).order_by(usage_event.c.id)).scalars())


def ids_of(sent: list[Delivery]) -> list[UUID]:
    return sorted(UUID(event["id"]) for delivery in sent for event in delivery)


@pytest.fixture
def service() -> Iterator[MeteringProcess]:
    with metering_process() as service:
        yield service


class Sender(threading.Thread):
    """Sends deliveries until each is acknowledged, as a predictor's outbox does."""

    def __init__(self, url: str, queue: list[Delivery]) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._queue = queue
        self.acknowledged: list[Delivery] = []
        self.refusals: list[httpx.Response] = []
        self.new = 0
        self.given_up = threading.Event()

    def run(self) -> None:
        with httpx.Client(base_url=self._url, headers=SERVICE, timeout=WAIT_SECONDS) as client:
            for delivery in self._queue:
                while not self._sent(client, delivery):
                    if self.given_up.wait(0.02):
                        return

    def _sent(self, client: httpx.Client, delivery: Delivery) -> bool:
        try:
            answer = client.post("/v1/events", content=a_delivery(*delivery))
        except httpx.TransportError:
            return False
        if answer.status_code != httpx.codes.OK:
            self.refusals.append(answer)
            return False
        self.acknowledged.append(delivery)
        self.new += answer.json()["new"]
        return True


def start_sending(url: str, queue: list[Delivery], *, senders: int = 4) -> list[Sender]:
    threads = [Sender(url, queue[i::senders]) for i in range(senders)]
    for thread in threads:
        thread.start()
    return threads


def acknowledged(senders: list[Sender]) -> list[Delivery]:
    return [delivery for sender in senders for delivery in list(sender.acknowledged)]


def test_metering_killed_during_ingest_keeps_what_it_acknowledged_and_counts_the_rest_once(
    service: MeteringProcess,
) -> None:
    queue = deliveries(400)
    senders = start_sending(service.url, queue)
    until(lambda: len(acknowledged(senders)) >= 20)
    service.part.kill()
    for sender in senders:
        sender.given_up.set()
        sender.join()
    kept = acknowledged(senders)
    assert len(kept) < len(queue), "it was to be killed in the middle"

    service.start()
    assert set(ids_of(kept)) <= set(ids_in(service.engine))
    for sender in start_sending(service.url, queue):
        sender.join()
    assert ids_in(service.engine) == ids_of(queue)


def test_postgres_killed_during_ingest_is_started_again_and_every_event_counts_once(service: MeteringProcess) -> None:
    queue = deliveries(300)
    senders = start_sending(service.url, queue)
    until(lambda: len(acknowledged(senders)) >= 20)
    first = service.postmaster()
    os.kill(first, signal.SIGKILL)
    for sender in senders:
        sender.join()
    assert service.postmaster() != first
    refusals = [refusal for sender in senders for refusal in sender.refusals]
    assert refusals, "it was to be killed in the middle"
    assert {refusal.status_code for refusal in refusals} == {httpx.codes.SERVICE_UNAVAILABLE}
    assert all(int(refusal.headers["Retry-After"]) >= 1 for refusal in refusals)
    assert ids_in(service.engine) == ids_of(queue)
    until(service.ready)


def test_postgres_restarted_in_order_during_ingest_loses_and_doubles_nothing(service: MeteringProcess) -> None:
    queue = deliveries(300)
    senders = start_sending(service.url, queue)
    until(lambda: len(acknowledged(senders)) >= 20)
    os.kill(service.postmaster(), signal.SIGINT)
    for sender in senders:
        sender.join()
    assert ids_in(service.engine) == ids_of(queue)


def test_the_rollup_goes_on_after_postgres_was_killed(service: MeteringProcess) -> None:
    os.kill(service.postmaster(), signal.SIGKILL)
    (sender,) = start_sending(service.url, deliveries(1), senders=1)
    sender.join()

    def counted() -> bool:
        answer = httpx.get(f"{service.url}/v1/usage", headers=ADMIN, timeout=WAIT_SECONDS)
        return answer.status_code == httpx.codes.OK and answer.json()["totals"]["requests"] == 20

    until(counted)


def test_a_killed_service_leaves_its_postgres_to_the_next(service: MeteringProcess) -> None:
    (sender,) = start_sending(service.url, deliveries(1), senders=1)
    sender.join()
    service.part.kill()
    service.start()
    assert ids_in(service.engine) == ids_of(sender.acknowledged)


def test_a_service_and_its_postgres_killed_together_come_back(service: MeteringProcess) -> None:
    (sender,) = start_sending(service.url, deliveries(1), senders=1)
    sender.join()
    postmaster = service.postmaster()
    service.part.kill()
    os.kill(postmaster, signal.SIGKILL)
    service.start()
    assert ids_in(service.engine) == ids_of(sender.acknowledged)


def test_a_service_that_is_told_to_stop_stops_its_postgres_too(service: MeteringProcess) -> None:
    postmaster = service.postmaster()
    assert service.part.stop(timeout=WAIT_SECONDS) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(postmaster, 0)
    assert not (service.home / "postgres" / "data" / "postmaster.pid").exists()


def test_two_services_do_not_share_one_embedded_postgres(service: MeteringProcess) -> None:
    second = MeteringProcess(service.home)
    second.part.log = service.home / "second.log"
    second.part.start()
    until(lambda: not second.part.alive())
    assert "Another process uses the database" in second.part.log_tail()
    assert service.ready()


def test_no_log_holds_a_token(service: MeteringProcess) -> None:
    httpx.get(f"{service.url}/v1/usage", headers={"Authorization": "Bearer sk-kat-secret-of-a-tenant"}, timeout=5)
    httpx.get(f"{service.url}/v1/tenants?token=x", headers=ADMIN, timeout=5)
    service.part.stop(timeout=WAIT_SECONDS)
    log = service.part.log.read_text()
    assert log
    for secret in (ADMIN_TOKEN, SERVICE_TOKEN, "secret-of-a-tenant"):
        assert secret not in log


async def test_a_database_too_slow_to_answer_is_a_503_and_nothing_is_stored(serve: Any, engine: Engine) -> None:
    body = a_delivery(an_event())
    async with serve(database_timeout_seconds=0.5) as client:
        with engine.begin() as connection:
            connection.execute(text("LOCK TABLE usage_event IN ACCESS EXCLUSIVE MODE"))
            refused = await client.post("/v1/events", content=body, headers=SERVICE)
            assert (await client.get("/healthz")).status_code == httpx.codes.OK
        assert refused.status_code == httpx.codes.SERVICE_UNAVAILABLE
        assert refused.headers["Retry-After"] == "1"
        assert refused.headers["content-type"] == "application/problem+json"
        assert ids_in(engine) == []
        assert (await client.post("/v1/events", content=body, headers=SERVICE)).json()["new"] == 1
