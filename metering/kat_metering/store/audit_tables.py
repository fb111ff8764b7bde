"""The tables of the audit, of webhooks and of the alerts that they send."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from kat_metering.store.tables import metadata

audit_entry = Table(
    "audit_entry",
    metadata,
    # Written by triggers of the migration alone; other triggers refuse every change.
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp()),
    Column("actor", Text, nullable=False),
    Column("request_id", Text),
    Column("action", Text, nullable=False),
    # The table, and the row's key in it.
    Column("object", Text, nullable=False),
    Column("object_id", Text, nullable=False),
    Column("tenant", Text),
    # The row, without secrets, numbers as strings.
    Column("before", JSONB),
    Column("after", JSONB),
    CheckConstraint("action IN ('create', 'change', 'delete')", name="action"),
    Index(None, "tenant", "id"),
)

webhook = Table(
    "webhook",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("tenant_id", Text, ForeignKey("tenant.id"), nullable=False),
    Column("url", Text, nullable=False),
    # Needed to sign with, so no hash will do; the administrators' role may write and never read it.
    Column("secret", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    UniqueConstraint("tenant_id", "url"),
)

WEBHOOK_SHOWN: Final = (webhook.c.id, webhook.c.tenant_id, webhook.c.url, webhook.c.created_at)
"""All but the secret."""

budget_alert = Table(
    "budget_alert",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("webhook_id", Uuid, ForeignKey("webhook.id", ondelete="CASCADE"), nullable=False),
    Column("tenant", Text, nullable=False),
    # NO_API_KEY for the tenant's own budget.
    Column("api_key_id", Uuid, nullable=False),
    # The first day of the month.
    Column("month", Date, nullable=False),
    Column("percent", Integer, nullable=False),
    # What is sent, to the byte, however often it takes.
    Column("body", Text, nullable=False),
    Column("raised_at", DateTime(timezone=True), nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    # Also a lease: whoever attempts a delivery moves it on first, so that no other service tries meanwhile.
    Column("next_attempt_at", DateTime(timezone=True), nullable=False),
    Column("acknowledged_at", DateTime(timezone=True)),
    Column("last_error", Text),
    UniqueConstraint("webhook_id", "api_key_id", "month", "percent"),
    Index(None, "next_attempt_at", postgresql_where=text("acknowledged_at IS NULL")),
)
