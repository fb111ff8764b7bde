"""What metering acknowledged survives whatever is killed, and a delivery sent again counts once."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import Engine, create_engine, select, text
from sqlalchemy.pool import NullPool

from kat.processes import Part, port_or_free
from kat_metering.store.embedded import EmbeddedPostgres
from kat_metering.store.tables import usage_event
from tests.fakes.folders import database_folder
from tests.fakes.metering import ADMIN, ADMIN_TOKEN, SERVICE, SERVICE_TOKEN
from tests.fakes.usage_events import a_delivery, an_event

WAIT_SECONDS = 60

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


class Service:
    """`kat metering serve` with a Postgres of its own, in a folder that outlives both."""

    def __init__(self, home: Path) -> None:
        self.home = home
        port = port_or_free(0)
        self.url = f"http://127.0.0.1:{port}"
        self.part = Part(
            name="metering",
            argv=[str(Path(sys.executable).with_name("kat")), "metering", "serve"],
            env={
                "KAT_HOME": str(home),
                "KAT_ADMIN_TOKEN": ADMIN_TOKEN,
                "KAT_SERVICE_TOKEN": SERVICE_TOKEN,
                "KAT_METERING_PORT": str(port),
                "KAT_ROLLUP_INTERVAL_SECONDS": "0.05",
            },
            log=home / "metering.log",
            ready_url=f"{self.url}/readyz",
        )
        self.engine = create_engine(EmbeddedPostgres(home / "postgres").url, poolclass=NullPool)

    def start(self) -> None:
        self.part.start()
        self.part.wait_ready(timeout=WAIT_SECONDS)

    def postmaster(self) -> int:
        return int((self.home / "postgres" / "data" / "postmaster.pid").read_text().split("\n", 1)[0])

    def ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service(Path(tempfile.mkdtemp(prefix="kat-home-", dir=database_folder())))
    service.start()
    yield service
    service.part.stop(timeout=WAIT_SECONDS)
    # Where a test killed the service, its Postgres is left: owning it once more ends it.
    with EmbeddedPostgres(service.home / "postgres"):
        pass
    shutil.rmtree(service.home)


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


def test_metering_killed_during_ingest_keeps_what_it_acknowledged_and_counts_the_rest_once(service: Service) -> None:
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


def test_postgres_killed_during_ingest_is_started_again_and_every_event_counts_once(service: Service) -> None:
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


def test_postgres_restarted_in_order_during_ingest_loses_and_doubles_nothing(service: Service) -> None:
    queue = deliveries(300)
    senders = start_sending(service.url, queue)
    until(lambda: len(acknowledged(senders)) >= 20)
    os.kill(service.postmaster(), signal.SIGINT)
    for sender in senders:
        sender.join()
    assert ids_in(service.engine) == ids_of(queue)


def test_the_rollup_goes_on_after_postgres_was_killed(service: Service) -> None:
    os.kill(service.postmaster(), signal.SIGKILL)
    (sender,) = start_sending(service.url, deliveries(1), senders=1)
    sender.join()

    def counted() -> bool:
        answer = httpx.get(f"{service.url}/v1/usage", headers=ADMIN, timeout=WAIT_SECONDS)
        return answer.status_code == httpx.codes.OK and answer.json()["totals"]["requests"] == 20

    until(counted)


def test_a_killed_service_leaves_its_postgres_to_the_next(service: Service) -> None:
    (sender,) = start_sending(service.url, deliveries(1), senders=1)
    sender.join()
    service.part.kill()
    service.start()
    assert ids_in(service.engine) == ids_of(sender.acknowledged)


def test_a_service_and_its_postgres_killed_together_come_back(service: Service) -> None:
    (sender,) = start_sending(service.url, deliveries(1), senders=1)
    sender.join()
    postmaster = service.postmaster()
    service.part.kill()
    os.kill(postmaster, signal.SIGKILL)
    service.start()
    assert ids_in(service.engine) == ids_of(sender.acknowledged)


def test_a_service_that_is_told_to_stop_stops_its_postgres_too(service: Service) -> None:
    postmaster = service.postmaster()
    assert service.part.stop(timeout=WAIT_SECONDS) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(postmaster, 0)
    assert not (service.home / "postgres" / "data" / "postmaster.pid").exists()


def test_two_services_do_not_share_one_embedded_postgres(service: Service) -> None:
    second = Service(service.home)
    second.part.log = service.home / "second.log"
    second.part.start()
    until(lambda: not second.part.alive())
    assert "Another process uses the database" in second.part.log_tail()
    assert service.ready()


def test_no_log_holds_a_token(service: Service) -> None:
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
