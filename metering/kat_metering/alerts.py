"""Tells webhooks when half, most and all of a budget is spent: raised once, sent until acknowledged."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import httpx
import orjson
import structlog
from sqlalchemy import Connection, Engine, Row, select, update
from sqlalchemy.dialects.postgresql import insert

from kat.usage_event import new_event_id
from kat_metering.budgets import Spending, Spent, budgets_by_state
from kat_metering.errors import SealedSecretError
from kat_metering.metrics import Metrics
from kat_metering.money import plain
from kat_metering.secret_seal import SecretSeal
from kat_metering.settings import Settings
from kat_metering.store.audit_tables import budget_alert, webhook
from kat_metering.store.tables import NO_API_KEY, api_key, tenant
from kat_metering.webhooks import seal_again, signed_headers

log = structlog.get_logger(__name__)

PERCENTS: Final = (50, 80, 100)
"""Of a budget, when an alert is raised."""
TYPE: Final = "dev.autothink.budget.v1"
LEASE: Final = timedelta(minutes=5)
"""Longer than a delivery takes: within it, no other service sends the same alert."""
_FIRST_WAIT: Final = timedelta(seconds=5)
_LONGEST_WAIT: Final = timedelta(hours=6)
_AT_ONCE: Final = 4
"""Deliveries side by side, so that one receiver that hangs does not hold up all others."""
_ERROR_LENGTH: Final = 300


@dataclass(frozen=True, slots=True)
class BudgetSpent:
    """A budget and what of it is spent."""

    tenant: str
    api_key_id: UUID | None
    monthly: Decimal
    spent: Decimal

    def reached(self) -> Iterator[int]:
        """The percents that are reached. A budget of nothing is all spent from the start."""
        return (percent for percent in PERCENTS if self.spent * 100 >= self.monthly * percent)


def wait_after(attempts: int) -> timedelta:
    """How long to wait after so many attempts failed: 5 s, 10 s, 20 s, … 6 h."""
    return min(_LONGEST_WAIT, _FIRST_WAIT * (1 << min(attempts - 1, 20)))


def raise_alerts(connection: Connection, spent: Spent, *, currency: str, now: datetime) -> int:
    """Put down an alert for each webhook and each percent that is reached, once a month. How many were new."""
    month = now.date().replace(day=1)
    webhooks: dict[str, list[UUID]] = {}
    for hook in connection.execute(select(webhook.c.id, webhook.c.tenant_id)):
        webhooks.setdefault(hook.tenant_id, []).append(hook.id)
    if not webhooks:
        return 0
    of_month = select(budget_alert.c.webhook_id, budget_alert.c.api_key_id, budget_alert.c.percent).where(
        budget_alert.c.month == month
    )
    known = {(row.webhook_id, row.api_key_id, row.percent) for row in connection.execute(of_month)}
    rows = [
        {
            "id": (alert_id := new_event_id()),
            "webhook_id": webhook_id,
            "tenant": budget.tenant,
            "api_key_id": budget.api_key_id or NO_API_KEY,
            "month": month,
            "percent": percent,
            "body": _body(alert_id, budget, percent, month=month, currency=currency, now=now),
            "raised_at": now,
            "next_attempt_at": now,
        }
        for budget in _budgets(connection, spent, list(webhooks))
        for percent in budget.reached()
        for webhook_id in webhooks[budget.tenant]
        if (webhook_id, budget.api_key_id or NO_API_KEY, percent) not in known
    ]
    if not rows:
        return 0
    # Another service may have been quicker.
    added = insert(budget_alert).on_conflict_do_nothing().returning(budget_alert.c.id)
    return len(connection.execute(added, rows).all())


def _budgets(connection: Connection, spent: Spent, tenants: list[str]) -> Iterator[BudgetSpent]:
    # In one order for all services: they then wait for each other, and never in a circle.
    of_tenants = (
        select(tenant.c.id, tenant.c.monthly_budget)
        .where(tenant.c.monthly_budget.is_not(None), tenant.c.id.in_(tenants))
        .order_by(tenant.c.id)
    )
    for row in connection.execute(of_tenants):
        yield BudgetSpent(row.id, None, row.monthly_budget, spent.tenants.get(row.id, Decimal(0)))
    of_keys = (
        select(api_key.c.id, api_key.c.tenant_id, api_key.c.monthly_budget)
        .where(api_key.c.monthly_budget.is_not(None), api_key.c.revoked_at.is_(None), api_key.c.tenant_id.in_(tenants))
        .order_by(api_key.c.id)
    )
    for key in connection.execute(of_keys):
        yield BudgetSpent(key.tenant_id, key.id, key.monthly_budget, spent.keys.get(key.id, Decimal(0)))


def _body(alert_id: UUID, budget: BudgetSpent, percent: int, *, month: date, currency: str, now: datetime) -> str:
    return orjson.dumps(
        {
            "id": str(alert_id),
            "type": TYPE,
            "timestamp": now.isoformat(),
            "data": {
                "tenant": budget.tenant,
                "api_key_id": None if budget.api_key_id is None else str(budget.api_key_id),
                "month": f"{month:%Y-%m}",
                "percent": percent,
                "spent": plain(budget.spent),
                "monthly_budget": plain(budget.monthly),
                "currency": currency,
            },
        }
    ).decode()


def take_due(connection: Connection, *, now: datetime) -> list[Row[Any]]:
    """Alerts to be sent now, leased: until the lease ends, no other service takes them."""
    due = (
        select(budget_alert.c.id)
        .where(budget_alert.c.acknowledged_at.is_(None), budget_alert.c.next_attempt_at <= now)
        .order_by(budget_alert.c.next_attempt_at, budget_alert.c.id)
        .limit(_AT_ONCE)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    taken = (
        update(budget_alert)
        .where(budget_alert.c.id == due.c.id, budget_alert.c.webhook_id == webhook.c.id)
        .values(next_attempt_at=now + LEASE, attempts=budget_alert.c.attempts + 1)
        .returning(budget_alert.c.id, budget_alert.c.attempts, budget_alert.c.body, webhook.c.url, webhook.c.secret)
    )
    return sorted(connection.execute(taken).all(), key=lambda row: row.id.int)


class Alerts:
    """The thread that raises alerts and sends them."""

    def __init__(
        self,
        engine: Engine,
        spending: Spending,
        client: httpx.Client,
        settings: Settings,
        clock: Callable[[], datetime],
        *,
        metrics: Metrics,
        ready: Callable[[], bool],
    ) -> None:
        self._engine = engine
        self._spending = spending
        self._client = client
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._ready = ready
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)
        self._failing = False
        self._seal = SecretSeal(settings.webhook_keys)
        self._sealed = False

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when the delivery that is under way has ended."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._settings.alert_interval_seconds):
            if not self._ready():
                continue
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - whatever it is, trying again is all that can be done
                if not self._failing:
                    log.warning("budget alerts are held up; trying again", reason=str(error))
                self._failing = True
            else:
                self._failing = False

    def look(self) -> None:
        """Raise what is reached, and send all that is due."""
        now = self._clock()
        with self._engine.begin() as connection:
            if not self._sealed:
                seal_again(connection, self._seal)
            spent = self._spending.this_month(connection, now)
            raise_alerts(connection, spent, currency=self._settings.currency, now=now)
            states = budgets_by_state(connection, spent)
        self._sealed = True
        self._metrics.looked_at_budgets(states, unpriced_tokens=spent.unpriced_tokens)
        while not self._stopping.is_set():
            # Committed before anything is sent: a transaction kept open meanwhile would hold up the roll-up.
            with self._engine.begin() as connection:
                due = take_due(connection, now=self._clock())
            if not due:
                return
            with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="alert") as pool:
                list(pool.map(self._deliver, due))

    def _deliver(self, alert: Row[Any]) -> None:
        error = self._send(alert)
        now = self._clock()
        changed: dict[str, Any] = (
            {"acknowledged_at": now, "last_error": None}
            if error is None
            else {"next_attempt_at": now + wait_after(alert.attempts), "last_error": error[:_ERROR_LENGTH]}
        )
        with self._engine.begin() as connection:
            connection.execute(update(budget_alert).where(budget_alert.c.id == alert.id).values(changed))
        if error is not None:
            log.warning("a webhook did not acknowledge", alert=str(alert.id), attempts=alert.attempts, reason=error)

    def _send(self, alert: Row[Any]) -> str | None:
        """What went wrong; None for an acknowledgement, which is any 2xx."""
        body = alert.body.encode()
        try:
            secret = self._seal.open(alert.secret)
            headers = signed_headers(secret, message_id=str(alert.id), body=body, at=self._clock())
            # Only the status is looked at: whatever the receiver says more is not ours to read.
            with self._client.stream(
                "POST", alert.url, content=body, headers={"Content-Type": "application/json", **headers}
            ) as answer:
                return None if answer.is_success else f"answered {answer.status_code}"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return str(error) or repr(error)
        except SealedSecretError as error:
            return error.detail
