"""Who changed what. The entries are written by triggers of the database; here they are read."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection, select

from kat_metering.store.audit_tables import audit_entry


class Action(StrEnum):
    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"


class AuditEntry(BaseModel):
    """One change of one thing. `before` and `after` are without secrets and hashes of keys; numbers in them are strings."""

    model_config = ConfigDict(frozen=True)

    id: int
    at: datetime
    actor: str
    """`admin token`, `person NAME`, or `database user NAME` for what was not done over HTTP."""
    request_id: str | None
    """As the answer's `X-Request-Id` said."""
    action: Action
    object: str
    """What was changed: `tenant`, `api_key`, `price`, …"""
    object_id: str
    tenant: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class AuditPage(BaseModel):
    """A page of the audit, latest first."""

    model_config = ConfigDict(frozen=True)

    entries: list[AuditEntry]
    next: int | None
    """Ask with `after` set to this for what follows; null at the end."""


def audit_page(
    connection: Connection,
    *,
    limit: int,
    before: int | None = None,
    tenant: str | None = None,
    kind: str | None = None,
    actor: str | None = None,
) -> AuditPage:
    """At most `limit` entries earlier than the one of the id `before`; None does not narrow."""
    entry = audit_entry.c
    statement = select(audit_entry).order_by(entry.id.desc()).limit(limit + 1)
    if before is not None:
        statement = statement.where(entry.id < before)
    for column, wanted in ((entry.tenant, tenant), (entry.object, kind), (entry.actor, actor)):
        if wanted is not None:
            statement = statement.where(column == wanted)
    rows = connection.execute(statement).mappings().all()
    entries = [AuditEntry.model_validate(dict(row)) for row in rows[:limit]]
    return AuditPage(entries=entries, next=entries[-1].id if len(rows) > limit else None)
