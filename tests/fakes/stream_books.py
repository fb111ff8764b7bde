"""The books of one load on an installation: a customer of its own, and what metering has of that customer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

import httpx
import psycopg
from prometheus_client.parser import text_string_to_metric_families

from kat.usage_event import Segment
from tests.fakes.cluster import condition
from tests.fakes.installation import NAMESPACE, SERVICE, Installation
from tests.fakes.stream_load import StreamLoad, stream_load
from tools.cluster.api_client import Json, wait_until

SECONDS: Final = 420
"""For the last pod that was deleted to end, which may wait until metering is back, and more: nothing is lost by waiting."""


@dataclass(frozen=True)
class Customer:
    """A tenant with one key, whom nobody but one test serves."""

    installed: Installation
    tenant: str
    api_key: str

    @contextmanager
    def load(self, *, streams: int, max_tokens: int = 32, spread: bool = False, seed: int = 1) -> Iterator[StreamLoad]:
        """So many streams at a time on the installation's predictors; see `stream_load`."""
        url, key = self.installed.url, self.api_key
        with stream_load(url, key, streams=streams, max_tokens=max_tokens, spread=spread, seed=seed) as load:
            yield load

    def sources(self) -> set[str]:
        """Predictors that served this customer, as far as their events are stored."""
        with psycopg.connect(self.installed.database_url, connect_timeout=10) as connection:
            statement = "SELECT DISTINCT source FROM usage_event WHERE tenant = %s"
            return {source for (source,) in connection.execute(statement, [self.tenant]).fetchall()}

    def stored(self) -> dict[UUID, int]:
        """Tokens by event, as Postgres has them."""
        tokens = " + ".join(Segment)
        statement = f"SELECT id, {tokens} FROM usage_event WHERE tenant = %s"
        with psycopg.connect(self.installed.database_url, connect_timeout=10) as connection:
            rows = connection.execute(statement.encode(), [self.tenant]).fetchall()
        return {event_id: int(count) for event_id, count in rows}

    def reported(self) -> tuple[int, int]:
        """Requests and tokens, as the usage report says; that goes by the roll-up."""
        answer = _metering(self.installed, "GET", f"/v1/usage?tenant={self.tenant}").json()["totals"]
        return answer["requests"], sum(answer["tokens"].values())


def new_customer(installed: Installation, name: str) -> Customer:
    """A tenant whose id begins so, known to every predictor that serves."""
    tenant = f"{name}-{uuid4().hex[:8]}"
    _metering(installed, "POST", "/v1/tenants", {"id": tenant, "name": tenant})
    key = _metering(installed, "POST", f"/v1/tenants/{tenant}/keys", {"project": "load", "name": "load"}).json()["key"]

    def known() -> bool:
        headers = {"Authorization": f"Bearer {key}"}
        addresses = [pod["status"]["podIP"] for pod in predictors(installed) if condition(pod, "Ready") == "True"]
        answers = [httpx.get(f"http://{address}:8080/v1/models", headers=headers) for address in addresses]
        return bool(answers) and all(answer.status_code == httpx.codes.OK for answer in answers)

    wait_until(known, seconds=SECONDS, what=f"predictors know the key of {tenant}")
    return Customer(installed, tenant, key)


def predictors(installed: Installation) -> list[Json]:
    """Pods of the service, those that end among them: an outbox may hold events until its pod is gone."""
    path = f"/api/v1/namespaces/{NAMESPACE}/pods"
    found: list[Json] = installed.api.get(path, labelSelector=f"autothink.dev/service={SERVICE}")["items"]
    return found


def wait_delivered(installed: Installation) -> None:
    """Until no pod that ends is left, and the outboxes of all others are empty."""

    def delivered() -> bool:
        pods = predictors(installed)
        return not any("deletionTimestamp" in pod["metadata"] for pod in pods) and all(
            _waiting_events(str(pod["status"]["podIP"])) == 0 for pod in pods if condition(pod, "Ready") == "True"
        )

    wait_until(_patiently(delivered), seconds=SECONDS, what="all outboxes are empty")


def wait_reported(customer: Customer, stored: dict[UUID, int]) -> None:
    """Until the usage report says what is stored."""
    expected = len(stored), sum(stored.values())
    wait_until(
        _patiently(lambda: customer.reported() == expected),
        seconds=SECONDS,
        what=f"the usage report says {expected[0]} requests and {expected[1]} tokens",
    )


def _patiently(condition: Callable[[], bool]) -> Callable[[], bool]:
    """What cannot be asked at this moment is not so yet."""

    def patient() -> bool:
        try:
            return condition()
        except httpx.TransportError:
            return False

    return patient


def _waiting_events(address: str) -> float:
    told = httpx.get(f"http://{address}:8080/metrics", timeout=30).text
    (family,) = (each for each in text_string_to_metric_families(told) if each.name == "kat_outbox_events")
    return float(family.samples[0].value)


def _metering(installed: Installation, method: str, path: str, body: Json | None = None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {installed.admin_token}"}
    return httpx.request(
        method, installed.metering_url + path, headers=headers, json=body, timeout=60
    ).raise_for_status()
