"""What became of the alerts of a tenant's budgets."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, select

from kat_metering.store.audit_tables import budget_alert
from kat_metering.store.tables import NO_API_KEY
from kat_metering.tenants import require_tenant


class AlertView(BaseModel):
    """An alert for one webhook."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    """Its `webhook-id`."""
    webhook: UUID
    api_key_id: UUID | None
    """Whose budget it is; null for the tenant's own."""
    month: str
    percent: int
    raised_at: datetime
    attempts: int
    next_attempt_at: datetime | None
    """Null once it is acknowledged."""
    acknowledged_at: datetime | None
    last_error: str | None


class AlertPage(BaseModel):
    """A page of alerts, latest first."""

    model_config = ConfigDict(frozen=True)

    alerts: list[AlertView]
    next: UUID | None
    """Ask with `after` set to this for what follows; null at the end."""


def alert_page(connection: Connection, tenant_id: str, *, limit: int, before: UUID | None = None) -> AlertPage:
    """At most `limit` alerts of a tenant and its keys, raised before the one of this id. Raises NotFoundError."""
    require_tenant(connection, tenant_id)
    statement = select(budget_alert).where(budget_alert.c.tenant == tenant_id).order_by(budget_alert.c.id.desc())
    if before is not None:
        statement = statement.where(budget_alert.c.id < before)
    rows = connection.execute(statement.limit(limit + 1)).all()
    alerts = [
        AlertView(
            id=row.id,
            webhook=row.webhook_id,
            api_key_id=None if row.api_key_id == NO_API_KEY else row.api_key_id,
            month=f"{row.month:%Y-%m}",
            percent=row.percent,
            raised_at=row.raised_at,
            attempts=row.attempts,
            next_attempt_at=row.next_attempt_at if row.acknowledged_at is None else None,
            acknowledged_at=row.acknowledged_at,
            last_error=row.last_error,
        )
        for row in rows[:limit]
    ]
    return AlertPage(alerts=alerts, next=alerts[-1].id if len(rows) > limit else None)
