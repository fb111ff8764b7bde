"""The tenant directory that predictors pull."""

from __future__ import annotations

import hashlib

from sqlalchemy import Connection, select

from kat.directory import ApiKey, Directory, Tenant
from kat_metering.budgets import Spent
from kat_metering.store.tables import api_key
from kat_metering.tenants import budget_of, limits_of, tenant_rows


def read_directory(connection: Connection, *, spent: Spent, currency: str) -> Directory:
    """Every tenant with its budget's state, and every key that is not revoked; in the order of their ids."""
    tenants = [
        Tenant(
            id=row["id"],
            name=row["name"],
            mode_policy=row["mode_policy"],
            max_think_tokens=row["max_think_tokens"],
            limits=limits_of(row),
            weight=row["weight"],
            budget=budget_of(row, spent.tenants, currency),
        )
        for row in tenant_rows(connection)
    ]
    keys = connection.execute(select(api_key).where(api_key.c.revoked_at.is_(None)).order_by(api_key.c.id)).mappings()
    return Directory(
        tenants=tenants,
        keys=[
            ApiKey(
                id=row["id"],
                tenant=row["tenant_id"],
                project=row["project"],
                sha256=row["sha256"],
                expires_at=row["expires_at"],
                limits=limits_of(row),
                budget=budget_of(row, spent.keys, currency),
            )
            for row in keys
        ],
    )


def etag_of(content: bytes) -> str:
    """A strong entity tag: equal for equal bytes only."""
    return f'"{hashlib.sha256(content).hexdigest()}"'


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether the condition of a GET names this entity (RFC 9110, 13.1.2: weak comparison, lists, `*`)."""
    if if_none_match is None:
        return False
    named = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in named or etag in named
