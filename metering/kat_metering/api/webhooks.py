"""Webhooks of a tenant's budgets over HTTP. Administrators only."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel

from kat.usage_event import Name
from kat_metering.alert_report import AlertPage, alert_page
from kat_metering.api.auth import Admin
from kat_metering.api.document import CONFLICT
from kat_metering.api.pages import AFTER, DEFAULT_LIMIT, Limit, cut
from kat_metering.api.services import Services, WithServices
from kat_metering.secret_seal import SecretSeal
from kat_metering.store.engine import reading
from kat_metering.webhooks import (
    IssuedWebhook,
    NewWebhook,
    WebhookView,
    create_webhook,
    delete_webhook,
    renew_secret,
    webhooks_of,
)

router = APIRouter(tags=["webhooks"])


class Webhooks(BaseModel):
    """A page of a tenant's webhooks, oldest first."""

    webhooks: list[WebhookView]
    next: UUID | None
    """Ask with `after` set to this for what follows; null at the end."""


@router.post("/v1/tenants/{tenant_id}/webhooks", status_code=201, responses=CONFLICT)
def create(_: Admin, services: WithServices, tenant_id: Name, new: NewWebhook) -> IssuedWebhook:
    """Tell this address when 50, 80 and 100 % of the tenant's budgets are spent. The secret is in this answer alone."""
    with services.engine.begin() as connection:
        return create_webhook(connection, tenant_id, new, _seal(services), now=services.clock())


@router.get("/v1/tenants/{tenant_id}/webhooks")
def list_webhooks(
    _: Admin,
    services: WithServices,
    tenant_id: Name,
    *,
    after: Annotated[UUID | None, AFTER] = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Webhooks:
    """The tenant's webhooks, without their secrets, oldest first."""
    with reading(services.engine, None) as connection:
        found = webhooks_of(connection, tenant_id, after=after, limit=limit + 1)
    page, following = cut(found, limit, lambda each: each.id)
    return Webhooks(webhooks=list(page), next=following)


@router.get("/v1/tenants/{tenant_id}/alerts")
def list_alerts(
    _: Admin,
    services: WithServices,
    tenant_id: Name,
    *,
    before: Annotated[UUID | None, AFTER] = None,
    limit: Limit = DEFAULT_LIMIT,
) -> AlertPage:
    """The alerts of the tenant's budgets and of its keys', latest first: acknowledged, or tried how often, and why not."""
    with reading(services.engine, None) as connection:
        return alert_page(connection, tenant_id, limit=limit, before=before)


@router.post("/v1/webhooks/{webhook_id}/secret")
def renew(_: Admin, services: WithServices, webhook_id: UUID) -> IssuedWebhook:
    """Sign with a fresh secret from now on. It is in this answer and nowhere else."""
    with services.engine.begin() as connection:
        return renew_secret(connection, webhook_id, _seal(services))


@router.delete("/v1/webhooks/{webhook_id}", status_code=204)
def remove(_: Admin, services: WithServices, webhook_id: UUID) -> None:
    """Tell this address nothing more, not even what waits to be sent."""
    with services.engine.begin() as connection:
        delete_webhook(connection, webhook_id)


def _seal(services: Services) -> SecretSeal:
    return SecretSeal(services.settings.webhook_keys)
