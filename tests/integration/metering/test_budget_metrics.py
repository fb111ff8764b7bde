"""Prometheus hears how many budgets are in which state, and how much usage has no price."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from kat_metering.alerts import Alerts
from kat_metering.budgets import Spending
from kat_metering.metrics import Metrics
from kat_metering.settings import Settings
from tests.fakes.metering import ADMIN
from tests.fakes.metering_calls import deliver
from tests.fakes.usage_events import an_event

Told = Callable[..., float | None]


@pytest.fixture
async def quiet(serve: Any) -> AsyncIterator[httpx.AsyncClient]:
    """The application, which leaves looking at budgets to the test."""
    async with serve(alert_interval_seconds=3_600) as client:
        yield client


@pytest.fixture
async def told(quiet: httpx.AsyncClient, engine: Engine, settings: Settings, catch_up: Callable[[], object]) -> Told:
    """`told(name, **labels)`: the value of a sample after looking at what has been used until now."""
    metrics = Metrics()

    def look(name: str, **labels: str) -> float | None:
        catch_up()
        with httpx.Client() as client:
            alerts = Alerts(
                engine,
                Spending("USD"),
                client,
                settings,
                lambda: datetime.now(UTC),
                metrics=metrics,
                ready=lambda: True,
            )
            alerts.look()
        return metrics.registry.get_sample_value(name, labels)

    return look


async def has_used(client: httpx.AsyncClient, tenant: str, *, of_budget: str | None) -> None:
    """A tenant that has spent 0.10 USD."""
    made = await client.post(
        "/v1/tenants", json={"id": tenant, "name": tenant, "monthly_budget": of_budget}, headers=ADMIN
    )
    assert made.is_success, made.text
    await deliver(client, an_event(tenant=tenant, tokens={"think": 1_000_000}))


@pytest.mark.parametrize(
    ("budget", "state"), [("1", "ok"), ("0.12", "think_off"), ("0.1", "exhausted"), ("0", "exhausted")]
)
async def test_a_tenants_budget_is_counted_in_its_state(
    quiet: httpx.AsyncClient, told: Told, budget: str, state: str
) -> None:
    await has_used(quiet, "acme", of_budget=budget)
    await has_used(quiet, "without", of_budget=None)
    states = ("ok", "think_off", "exhausted")
    assert {one: told("kat_metering_budgets", state=one) for one in states} == {
        one: float(one == state) for one in states
    }


async def test_a_keys_budget_counts_until_the_key_is_revoked(quiet: httpx.AsyncClient, told: Told) -> None:
    await has_used(quiet, "acme", of_budget=None)
    made = await quiet.post("/v1/tenants/acme/keys", json={"monthly_budget": "5"}, headers=ADMIN)
    assert told("kat_metering_budgets", state="ok") == 1
    (await quiet.delete(f"/v1/keys/{made.json()['id']}", headers=ADMIN)).raise_for_status()
    assert told("kat_metering_budgets", state="ok") == 0


async def test_usage_without_a_price_is_told(quiet: httpx.AsyncClient, told: Told) -> None:
    await has_used(quiet, "acme", of_budget=None)
    assert told("kat_metering_unpriced_tokens") == 0
    await deliver(quiet, an_event(model="mystery", tokens={"think": 7, "answer": 5}))
    assert told("kat_metering_unpriced_tokens") == 12


async def test_a_budget_that_was_taken_away_is_counted_no_longer(quiet: httpx.AsyncClient, told: Told) -> None:
    await has_used(quiet, "acme", of_budget="0.1")
    assert told("kat_metering_budgets", state="exhausted") == 1
    (await quiet.patch("/v1/tenants/acme", json={"monthly_budget": None}, headers=ADMIN)).raise_for_status()
    assert told("kat_metering_budgets", state="exhausted") == 0
