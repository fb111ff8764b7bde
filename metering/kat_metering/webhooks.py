"""Where alerts of budgets go, and how they are signed (Standard Webhooks 1.0, https://www.standardwebhooks.com)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from datetime import datetime
from typing import Annotated, Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints
from sqlalchemy import Connection, RowMapping, delete, insert, select, update

from kat.usage_event import new_event_id
from kat_metering.errors import ConflictError, FieldError, NotFoundError, SealedSecretError
from kat_metering.secret_seal import SecretSeal
from kat_metering.store.audit_tables import WEBHOOK_SHOWN, webhook
from kat_metering.tenants import require_tenant

log = structlog.get_logger(__name__)

_SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - the public beginning of a secret
_SECRET_BYTES: Final = 32


def _with_host(url: str) -> str:
    parts = urlsplit(url)
    if not parts.hostname or parts.username is not None or parts.password is not None:
        raise ValueError("must name a host, and no credentials")
    _ = parts.port  # raises ValueError where it is none
    return url


Address = Annotated[
    str, StringConstraints(pattern=r"^https?://[\x21-\x7e]+$", max_length=2_000), AfterValidator(_with_host)
]


class NewWebhook(BaseModel):
    """Where a tenant's alerts are to be sent."""

    model_config = ConfigDict(extra="forbid")

    url: Address


class WebhookView(BaseModel):
    """A webhook, without its secret."""

    id: UUID
    tenant: str
    url: str
    created_at: datetime


class IssuedWebhook(WebhookView):
    """A fresh webhook. The secret is in this answer and nowhere else."""

    secret: str


def signed_headers(secret: str, *, message_id: str, body: bytes, at: datetime) -> dict[str, str]:
    """The headers by which the receiver knows that the body comes from us, and when: old ones cannot be replayed."""
    timestamp = str(int(at.timestamp()))
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{signature(secret, message_id=message_id, timestamp=timestamp, body=body)}",
    }


def signature(secret: str, *, message_id: str, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 over id, timestamp and body, in base64."""
    key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX), validate=True)
    digest = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return base64.b64encode(digest).decode()


def create_webhook(
    connection: Connection, tenant_id: str, new: NewWebhook, seal: SecretSeal, *, now: datetime
) -> IssuedWebhook:
    """Raises NotFoundError for an unknown tenant, ConflictError where the address is the tenant's already."""
    require_tenant(connection, tenant_id)
    known = select(webhook.c.id).where(webhook.c.tenant_id == tenant_id, webhook.c.url == new.url)
    if connection.execute(known).one_or_none() is not None:
        raise ConflictError("There is such a webhook already.", errors=[FieldError("url", "is taken")])
    secret = _new_secret()
    made = insert(webhook).values(
        id=new_event_id(), tenant_id=tenant_id, url=new.url, secret=seal.close(secret), created_at=now
    )
    row = connection.execute(made.returning(*WEBHOOK_SHOWN)).mappings().one()
    return IssuedWebhook(**_shown(row), secret=secret)


def renew_secret(connection: Connection, webhook_id: UUID, seal: SecretSeal) -> IssuedWebhook:
    """Put a fresh secret in the place of the old one, which signs nothing from now on. Raises NotFoundError."""
    secret = _new_secret()
    changed = update(webhook).where(webhook.c.id == webhook_id).values(secret=seal.close(secret))
    row = connection.execute(changed.returning(*WEBHOOK_SHOWN)).mappings().one_or_none()
    if row is None:
        raise _no_webhook(webhook_id)
    return IssuedWebhook(**_shown(row), secret=secret)


def seal_again(connection: Connection, seal: SecretSeal) -> None:
    """Seal by the first key what is not sealed so, and can be opened."""
    for row in connection.execute(select(webhook.c.id, webhook.c.secret)).all():
        try:
            renewed = seal.renewed(row.secret)
        except SealedSecretError as error:
            log.warning("a webhook cannot be signed for", webhook=str(row.id), reason=error.detail)
            continue
        if renewed is not None:
            # Meanwhile somebody may have renewed it.
            same = (webhook.c.id == row.id) & (webhook.c.secret == row.secret)
            connection.execute(update(webhook).where(same).values(secret=renewed))


def webhooks_of(connection: Connection, tenant_id: str, *, limit: int, after: UUID | None = None) -> list[WebhookView]:
    """Oldest first, those after the one of this id. Raises NotFoundError."""
    require_tenant(connection, tenant_id)
    query = select(*WEBHOOK_SHOWN).where(webhook.c.tenant_id == tenant_id).order_by(webhook.c.id).limit(limit)
    if after is not None:
        query = query.where(webhook.c.id > after)
    return [WebhookView(**_shown(row)) for row in connection.execute(query).mappings()]


def delete_webhook(connection: Connection, webhook_id: UUID) -> None:
    """Take a webhook away, with the alerts that it has not acknowledged. Raises NotFoundError."""
    gone = delete(webhook).where(webhook.c.id == webhook_id).returning(webhook.c.id)
    if connection.execute(gone).one_or_none() is None:
        raise _no_webhook(webhook_id)


def _new_secret() -> str:
    return _SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def _shown(row: RowMapping) -> dict[str, Any]:
    return {"id": row["id"], "tenant": row["tenant_id"], "url": row["url"], "created_at": row["created_at"]}


def _no_webhook(webhook_id: UUID) -> NotFoundError:
    return NotFoundError(f"There is no webhook {webhook_id}.")
