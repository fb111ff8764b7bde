"""Tenants and API keys over HTTP. Administrators only."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel
from sqlalchemy import Connection

from kat_metering.api.auth import Admin
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
    tenants: list[TenantView]


class Keys(BaseModel):
    keys: list[KeyView]


def _views(connection: Connection, services: Services, tenant_id: str | None = None) -> list[TenantView]:
    spent = services.spending.this_month(connection, services.clock()).tenants
    return [view(row, spent, services.settings.currency) for row in tenant_rows(connection, tenant_id)]


@router.post("/v1/tenants", status_code=201)
def create(_: Admin, services: WithServices, new: NewTenant) -> TenantView:
    with services.engine.begin() as connection:
        create_tenant(connection, new)
        return _views(connection, services, new.id)[0]


@router.get("/v1/tenants")
def list_tenants(_: Admin, services: WithServices) -> Tenants:
    with reading(services.engine, None) as connection:
        return Tenants(tenants=_views(connection, services))


@router.get("/v1/tenants/{tenant_id}")
def get_tenant(_: Admin, services: WithServices, tenant_id: str) -> TenantView:
    with reading(services.engine, None) as connection:
        return _views(connection, services, tenant_id)[0]


@router.patch("/v1/tenants/{tenant_id}")
def change(_: Admin, services: WithServices, tenant_id: str, changed: TenantChange) -> TenantView:
    """A JSON merge patch: what is left out stays, null takes a limit or the budget away."""
    with services.engine.begin() as connection:
        change_tenant(connection, tenant_id, changed)
        return _views(connection, services, tenant_id)[0]


@router.post("/v1/tenants/{tenant_id}/keys", status_code=201)
def create_key(_: Admin, services: WithServices, tenant_id: str, new: NewKey) -> IssuedKey:
    """Issue an API key. It is in this answer and nowhere else."""
    with services.engine.begin() as connection:
        return issue_key(connection, tenant_id, new, now=services.clock(), currency=services.settings.currency)


@router.get("/v1/tenants/{tenant_id}/keys")
def list_keys(_: Admin, services: WithServices, tenant_id: str) -> Keys:
    with reading(services.engine, None) as connection:
        spent = services.spending.this_month(connection, services.clock()).keys
        return Keys(keys=keys_of(connection, tenant_id, spent, services.settings.currency))


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
