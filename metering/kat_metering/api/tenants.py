"""Tenants and API keys over HTTP. Administrators only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy import Connection, RowMapping

from kat.usage_event import Name
from kat_metering.api.auth import Admin
from kat_metering.api.document import CONFLICT
from kat_metering.api.pages import AFTER, DEFAULT_LIMIT, Limit, cut
from kat_metering.api.services import Services, WithServices
from kat_metering.store.engine import reading
from kat_metering.tenants import (
    IssuedKey,
    KeyChange,
    KeyView,
    NewKey,
    NewTenant,
    TenantChange,
    TenantView,
    change_key,
    change_tenant,
    create_tenant,
    issue_key,
    key_view,
    keys_of,
    revoke_key,
    tenant_rows,
    view,
)

router = APIRouter(tags=["tenants"])


class Tenants(BaseModel):
    """A page of tenants, by id."""

    tenants: list[TenantView]
    next: str | None
    """Ask with `after` set to this for what follows; null at the end."""


class Keys(BaseModel):
    """A page of a tenant's keys, oldest first."""

    keys: list[KeyView]
    next: UUID | None
    """Ask with `after` set to this for what follows; null at the end."""


def _views(connection: Connection, services: Services, rows: Sequence[RowMapping]) -> list[TenantView]:
    spent = services.spending.this_month(connection, services.clock()).tenants
    return [view(row, spent, services.settings.currency) for row in rows]


def _view(connection: Connection, services: Services, tenant_id: str) -> TenantView:
    return _views(connection, services, tenant_rows(connection, tenant_id))[0]


@router.post("/v1/tenants", status_code=201, responses=CONFLICT)
def create(_: Admin, services: WithServices, new: NewTenant) -> TenantView:
    with services.engine.begin() as connection:
        create_tenant(connection, new)
        return _view(connection, services, new.id)


@router.get("/v1/tenants")
def list_tenants(
    _: Admin, services: WithServices, *, after: Annotated[Name | None, AFTER] = None, limit: Limit = DEFAULT_LIMIT
) -> Tenants:
    """Tenants, by id."""
    with reading(services.engine, None) as connection:
        rows, following = cut(tenant_rows(connection, after=after, limit=limit + 1), limit, lambda row: str(row["id"]))
        return Tenants(tenants=_views(connection, services, rows), next=following)


@router.get("/v1/tenants/{tenant_id}")
def get_tenant(_: Admin, services: WithServices, tenant_id: Name) -> TenantView:
    with reading(services.engine, None) as connection:
        return _view(connection, services, tenant_id)


@router.patch("/v1/tenants/{tenant_id}")
def change(_: Admin, services: WithServices, tenant_id: Name, changed: TenantChange) -> TenantView:
    """A JSON merge patch: what is left out stays, null takes a limit or the budget away."""
    with services.engine.begin() as connection:
        change_tenant(connection, tenant_id, changed)
        return _view(connection, services, tenant_id)


@router.post("/v1/tenants/{tenant_id}/keys", status_code=201)
def create_key(_: Admin, services: WithServices, tenant_id: Name, new: NewKey) -> IssuedKey:
    """Issue an API key. It is in this answer and nowhere else."""
    with services.engine.begin() as connection:
        return issue_key(connection, tenant_id, new, now=services.clock(), currency=services.settings.currency)


@router.get("/v1/tenants/{tenant_id}/keys")
def list_keys(
    _: Admin,
    services: WithServices,
    tenant_id: Name,
    *,
    after: Annotated[UUID | None, AFTER] = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Keys:
    """All keys that the tenant ever had, revoked ones included, oldest first."""
    currency = services.settings.currency
    with reading(services.engine, None) as connection:
        spent = services.spending.this_month(connection, services.clock()).keys
        found = keys_of(connection, tenant_id, spent, currency, after=after, limit=limit + 1)
    page, following = cut(found, limit, lambda each: each.id)
    return Keys(keys=list(page), next=following)


@router.patch("/v1/keys/{key_id}")
def change_a_key(_: Admin, services: WithServices, key_id: UUID, changed: KeyChange) -> KeyView:
    """A JSON merge patch: what is left out stays, null takes a limit or the budget away."""
    with services.engine.begin() as connection:
        row = change_key(connection, key_id, changed)
        spent = services.spending.this_month(connection, services.clock()).keys
        return key_view(row, spent, services.settings.currency)


@router.delete("/v1/keys/{key_id}", status_code=204)
def revoke(_: Admin, services: WithServices, key_id: UUID) -> None:
    """Revoke a key. Metering refuses it from now on, a predictor from its next look at the directory."""
    with services.engine.begin() as connection:
        revoke_key(connection, key_id, now=services.clock())
