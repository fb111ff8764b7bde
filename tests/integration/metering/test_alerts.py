"""Webhooks hear of a budget that is half, mostly and all spent: once, signed, however often it takes."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, select, text

from kat_metering.alerts import LEASE, Alerts, take_due, wait_after
from kat_metering.budgets import Spending
from kat_metering.metrics import Metrics
from kat_metering.settings import Settings
from kat_metering.store.audit_tables import budget_alert, webhook
from tests.fakes.conditions import until
from tests.fakes.metering import ADMIN
from tests.fakes.metering_calls import deliver
from tests.fakes.usage_events import an_event
from tests.fakes.webhook_receiver import Delivery, Receiver, receiving

TENTH = {"think": 1_000_000}
"""Tokens that cost 0.10 USD."""
KEYS = (SecretStr("a-key-for-secrets-that-comes-first"), SecretStr("a-key-for-secrets-that-was-before"))
AlertsWith = Callable[[tuple[SecretStr, ...]], Alerts]


class Now:
    """The wall clock, which a test may put forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
async def quiet(serve: Any) -> AsyncIterator[httpx.AsyncClient]:
    """The application, which leaves the alerts to the test."""
    async with serve(alert_interval_seconds=3_600) as client:
        yield client


@pytest.fixture
def alerts_with(engine: Engine, settings: Settings, now: Now) -> Iterator[AlertsWith]:
    """Alerts of a service that has these keys for secrets."""
    with httpx.Client(timeout=5) as client:

        def alerts(keys: tuple[SecretStr, ...]) -> Alerts:
            changed = settings.model_copy(update={"webhook_keys": keys})
            return Alerts(engine, Spending("USD"), client, changed, now, metrics=Metrics(), ready=lambda: True)

        yield alerts


@pytest.fixture
def new_alerts(alerts_with: AlertsWith) -> Callable[[], Alerts]:
    return lambda: alerts_with(())


async def made(client: httpx.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    answer = await client.post(path, json=body, headers=ADMIN)
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def hooked(client: httpx.AsyncClient, url: str, *, budget: str | None) -> str:
    """A tenant with a budget and a webhook; the secret."""
    await made(client, "/v1/tenants", id="acme", name="Acme", monthly_budget=budget)
    return str((await made(client, "/v1/tenants/acme/webhooks", url=url))["secret"])


def told(deliveries: list[Delivery]) -> list[int]:
    return sorted(delivery.message["data"]["percent"] for delivery in deliveries)


@pytest.mark.parametrize(
    ("budget", "percents"),
    [("0.21", []), ("0.2", [50]), ("0.125", [50, 80]), ("0.1", [50, 80, 100]), ("0", [50, 80, 100])],
)
async def test_each_share_of_a_budget_is_told_when_it_is_reached(
    quiet: httpx.AsyncClient,
    catch_up: Callable[[], object],
    receiver: Receiver,
    new_alerts: Callable[[], Alerts],
    budget: str,
    percents: list[int],
) -> None:
    await hooked(quiet, receiver.url, budget=budget)
    await deliver(quiet, an_event(tokens=TENTH))
    catch_up()
    new_alerts().look()
    assert told(receiver.deliveries) == percents


async def test_an_alert_says_whose_budget_it_is_and_is_signed(
    quiet: httpx.AsyncClient, catch_up: Callable[[], object], receiver: Receiver, new_alerts: Callable[[], Alerts]
) -> None:
    secret = await hooked(quiet, receiver.url, budget="0.2")
    await deliver(quiet, an_event(tokens=TENTH))
    catch_up()
    new_alerts().look()
    (delivery,) = receiver.deliveries
    assert delivery.is_signed_with(secret)
    assert abs(int(delivery.headers["webhook-timestamp"]) - datetime.now(UTC).timestamp()) < 60
    assert delivery.message["id"] == delivery.id
    assert delivery.message["type"] == "dev.autothink.budget.v1"
    assert delivery.message["data"] == {
        "tenant": "acme",
        "api_key_id": None,
        "month": f"{datetime.now(UTC):%Y-%m}",
        "percent": 50,
        "spent": "0.1",
        "monthly_budget": "0.2",
        "currency": "USD",
    }


async def test_a_keys_own_budget_is_told_apart_from_its_tenants(
    quiet: httpx.AsyncClient, catch_up: Callable[[], object], receiver: Receiver, new_alerts: Callable[[], Alerts]
) -> None:
    await hooked(quiet, receiver.url, budget=None)
    key = await made(quiet, "/v1/tenants/acme/keys", monthly_budget="0.2")
    await made(quiet, "/v1/tenants/acme/keys", monthly_budget="0.2")
    await deliver(quiet, an_event(tokens=TENTH, api_key_id=key["id"]))
    catch_up()
    new_alerts().look()
    (delivery,) = receiver.deliveries
    assert (delivery.message["data"]["api_key_id"], delivery.message["data"]["percent"]) == (key["id"], 50)


async def test_a_receiver_that_fails_is_told_again_later_with_the_same_message(
    quiet: httpx.AsyncClient, receiver: Receiver, new_alerts: Callable[[], Alerts], now: Now
) -> None:
    secret = await hooked(quiet, receiver.url, budget="0")
    receiver.answers = [500, 500, 500, 302, 302, 302]
    alerts = new_alerts()
    alerts.look()
    assert len(receiver.deliveries) == 3
    alerts.look()
    assert len(receiver.deliveries) == 3, "tried again at once"
    for round_ in (2, 3):
        now.ahead += wait_after(round_) + timedelta(seconds=1)
        alerts.look()
        assert len(receiver.deliveries) == 3 * round_
    now.ahead += timedelta(days=1)
    alerts.look()
    assert len(receiver.deliveries) == 9, "told again although acknowledged"
    assert all(delivery.is_signed_with(secret) for delivery in receiver.deliveries)
    assert len({(delivery.id, delivery.body) for delivery in receiver.deliveries}) == 3


async def test_an_alert_is_kept_until_somebody_answers(
    quiet: httpx.AsyncClient, new_alerts: Callable[[], Alerts], engine: Engine
) -> None:
    with receiving() as gone:
        pass
    await hooked(quiet, gone.url, budget="0")
    new_alerts().look()
    with engine.connect() as connection:
        kept = connection.execute(select(budget_alert)).all()
    assert [(row.attempts, row.acknowledged_at) for row in kept] == [(1, None)] * 3
    assert all("refused" in row.last_error for row in kept)


async def test_administrators_see_what_became_of_each_alert(
    quiet: httpx.AsyncClient, receiver: Receiver, new_alerts: Callable[[], Alerts]
) -> None:
    await hooked(quiet, receiver.url, budget="0")
    receiver.answers = [503]
    new_alerts().look()
    path = "/v1/tenants/acme/alerts"
    latest = (await quiet.get(path, params={"limit": 2}, headers=ADMIN)).json()
    rest = (await quiet.get(path, params={"after": latest["next"]}, headers=ADMIN)).json()
    assert (len(latest["alerts"]), len(rest["alerts"]), rest["next"]) == (2, 1, None)
    found = latest["alerts"] + rest["alerts"]
    assert sorted(alert["percent"] for alert in found) == [50, 80, 100]
    (waiting,) = [alert for alert in found if alert["acknowledged_at"] is None]
    assert (waiting["attempts"], waiting["last_error"]) == (1, "answered 503")
    assert waiting["next_attempt_at"] is not None
    assert (await quiet.get("/v1/tenants/nobody/alerts", headers=ADMIN)).status_code == httpx.codes.NOT_FOUND


async def test_a_restart_tells_nothing_twice(
    quiet: httpx.AsyncClient, receiver: Receiver, new_alerts: Callable[[], Alerts]
) -> None:
    await hooked(quiet, receiver.url, budget="0")
    for _ in range(3):
        new_alerts().look()
    assert told(receiver.deliveries) == [50, 80, 100]


async def test_two_services_at_once_tell_nothing_twice(
    quiet: httpx.AsyncClient, receiver: Receiver, new_alerts: Callable[[], Alerts]
) -> None:
    await hooked(quiet, receiver.url, budget="0")
    start = threading.Barrier(4)

    def service() -> None:
        alerts = new_alerts()
        start.wait()
        alerts.look()

    threads = [threading.Thread(target=service) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told(receiver.deliveries) == [50, 80, 100]


async def test_what_a_service_took_and_died_with_another_one_tells(
    quiet: httpx.AsyncClient, receiver: Receiver, new_alerts: Callable[[], Alerts], now: Now, engine: Engine
) -> None:
    await hooked(quiet, receiver.url, budget="0")
    receiver.answers = [500] * 3
    new_alerts().look()
    receiver.deliveries.clear()
    now.ahead += timedelta(seconds=6)
    with engine.begin() as connection:
        assert len(take_due(connection, now=now())) == 3
    new_alerts().look()
    assert receiver.deliveries == []
    now.ahead += LEASE
    new_alerts().look()
    assert told(receiver.deliveries) == [50, 80, 100]


async def test_a_new_month_begins_anew(
    quiet: httpx.AsyncClient, receiver: Receiver, new_alerts: Callable[[], Alerts], now: Now
) -> None:
    await hooked(quiet, receiver.url, budget="0")
    alerts = new_alerts()
    alerts.look()
    now.ahead += timedelta(days=32)
    alerts.look()
    assert told(receiver.deliveries) == [50, 50, 80, 80, 100, 100]


async def test_a_webhook_that_was_removed_is_told_nothing_more(
    quiet: httpx.AsyncClient, receiver: Receiver, new_alerts: Callable[[], Alerts], now: Now
) -> None:
    await hooked(quiet, receiver.url, budget="0")
    receiver.answers = [500] * 3
    alerts = new_alerts()
    alerts.look()
    (hook,) = (await quiet.get("/v1/tenants/acme/webhooks", headers=ADMIN)).json()["webhooks"]
    assert (await quiet.delete(f"/v1/webhooks/{hook['id']}", headers=ADMIN)).status_code == httpx.codes.NO_CONTENT
    now.ahead += timedelta(days=1)
    alerts.look()
    assert len(receiver.deliveries) == 3


async def test_a_renewed_secret_signs_in_the_place_of_the_old_one(
    quiet: httpx.AsyncClient, receiver: Receiver, new_alerts: Callable[[], Alerts]
) -> None:
    old = await hooked(quiet, receiver.url, budget="0")
    (hook,) = (await quiet.get("/v1/tenants/acme/webhooks", headers=ADMIN)).json()["webhooks"]
    renewed = (await quiet.post(f"/v1/webhooks/{hook['id']}/secret", headers=ADMIN)).json()
    new_alerts().look()
    assert all(delivery.is_signed_with(renewed["secret"]) for delivery in receiver.deliveries)
    assert not any(delivery.is_signed_with(old) for delivery in receiver.deliveries)


async def test_a_secret_is_shown_once_and_administrators_cannot_read_it_in_sql(
    quiet: httpx.AsyncClient, engine: Engine
) -> None:
    secret = await hooked(quiet, "https://example.com/hook", budget=None)
    listed = await quiet.get("/v1/tenants/acme/webhooks", headers=ADMIN)
    assert secret not in listed.text
    assert set(listed.json()["webhooks"][0]) == {"id", "tenant", "url", "created_at"}
    with engine.connect() as connection:
        connection.execute(text("SET LOCAL ROLE kat_admin"))
        with pytest.raises(Exception, match="permission denied"):
            connection.execute(text("SELECT secret FROM webhook"))


@pytest.mark.parametrize(
    "url",
    ["", "ftp://example.com", "https://", "https://u:p@example.com", "https://example.com:x", "https://a b", 3, None],
)
async def test_an_address_that_cannot_be_is_refused(quiet: httpx.AsyncClient, url: Any) -> None:
    await made(quiet, "/v1/tenants", id="acme", name="Acme")
    answer = await quiet.post("/v1/tenants/acme/webhooks", json={"url": url}, headers=ADMIN)
    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert [error["field"] for error in answer.json()["errors"]] == ["url"]


async def test_an_address_is_a_tenants_once(quiet: httpx.AsyncClient) -> None:
    await hooked(quiet, "https://example.com/hook", budget=None)
    again = await quiet.post("/v1/tenants/acme/webhooks", json={"url": "https://example.com/hook"}, headers=ADMIN)
    assert again.status_code == httpx.codes.CONFLICT


async def test_the_service_tells_by_itself(serve: Any, receiver: Receiver) -> None:
    async with serve(alert_interval_seconds=0.02) as client:
        receiver.answers = [503]
        await hooked(client, receiver.url, budget="0")
        await until(lambda: len({delivery.id for delivery in receiver.deliveries}) == 3)


async def test_a_secret_lies_sealed_in_the_database_and_signs_all_the_same(
    serve: Any, engine: Engine, catch_up: Callable[[], object], receiver: Receiver, alerts_with: AlertsWith
) -> None:
    async with serve(alert_interval_seconds=3_600, webhook_keys=KEYS[:1]) as client:
        secret = await hooked(client, receiver.url, budget="0.2")
        await deliver(client, an_event(tokens=TENTH))
    catch_up()
    alerts_with(KEYS[:1]).look()
    (delivery,) = receiver.deliveries
    assert delivery.is_signed_with(secret)
    assert secret.removeprefix("whsec_") not in kept(engine)


@pytest.mark.parametrize("before", [(), KEYS[1:]], ids=["never sealed", "sealed by the key before"])
async def test_secrets_are_sealed_again_by_the_first_key_and_sign_without_the_others(
    serve: Any,
    engine: Engine,
    catch_up: Callable[[], object],
    receiver: Receiver,
    alerts_with: AlertsWith,
    before: tuple[SecretStr, ...],
) -> None:
    async with serve(alert_interval_seconds=3_600, webhook_keys=before) as client:
        secret = await hooked(client, receiver.url, budget="0.2")
        alerts_with(KEYS).look()
        await deliver(client, an_event(tokens=TENTH))
    catch_up()
    alerts_with(KEYS[:1]).look()
    (delivery,) = receiver.deliveries
    assert delivery.is_signed_with(secret)


async def test_an_alert_whose_secret_no_key_opens_waits_and_says_so(
    serve: Any, catch_up: Callable[[], object], receiver: Receiver, alerts_with: AlertsWith
) -> None:
    async with serve(alert_interval_seconds=3_600, webhook_keys=KEYS[1:]) as client:
        await hooked(client, receiver.url, budget="0.2")
        await deliver(client, an_event(tokens=TENTH))
        catch_up()
        alerts_with(KEYS[:1]).look()
        (alert,) = (await client.get("/v1/tenants/acme/alerts", headers=ADMIN)).json()["alerts"]
    assert receiver.deliveries == []
    assert "KAT_WEBHOOK_KEYS" in alert["last_error"]


def kept(engine: Engine) -> str:
    """What the database keeps of the one secret."""
    with engine.connect() as connection:
        return str(connection.execute(select(webhook.c.secret)).scalar_one())
