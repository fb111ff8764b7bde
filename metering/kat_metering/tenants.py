"""Tenants and their API keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import Connection, RowMapping, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from kat.directory import Budget, Limits, Weight, hash_api_key, new_api_key
from kat.usage_event import ModeAsked, Name, new_event_id
from kat_metering.budgets import budget
from kat_metering.errors import ConflictError, FieldError, InvalidError, NotFoundError
from kat_metering.store.tables import api_key, tenant

_PREFIX_LENGTH = 12  # "sk-kat-" and five of 43 characters: enough to tell keys apart, nothing to guess from

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
Limit = Annotated[int, Field(gt=0, le=1_000_000_000_000)]
Money = Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=6, allow_inf_nan=False)]
Share = Annotated[Decimal, Field(ge=0, le=1, max_digits=6, allow_inf_nan=False)]
Label = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00]*$")]


class LimitsChange(BaseModel):
    """Limits on one replica. What is left out stays as it is; null takes the limit away."""

    model_config = ConfigDict(extra="forbid")

    requests_per_minute: Limit | None = None
    tokens_per_minute: Limit | None = None
    concurrency: Limit | None = None


class TenantChange(BaseModel):
    """A change of a tenant, as a JSON merge patch (RFC 7396): what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    name: Name = ""
    mode_policy: ModeAsked = ModeAsked.AUTO
    max_think_tokens: Annotated[int, Field(ge=0, le=1_000_000_000_000)] | None = None
    limits: LimitsChange = LimitsChange()
    weight: Weight = Decimal(1)
    """Share of a full replica, against those of the other tenants that wait."""
    monthly_budget: Money | None = None
    """In the service's currency; null is no budget."""
    think_off_at: Share = Decimal("0.8")
    """Share of the budget past which `auto` becomes think-off."""

    def columns(self) -> dict[str, Any]:
        """The columns that the sender named, with their values."""
        return {**self.model_dump(exclude_unset=True, exclude={"limits"}), **self.limits.model_dump(exclude_unset=True)}


class NewTenant(TenantChange):
    """A tenant to be made."""

    id: Slug
    name: Name


class TenantView(BaseModel):
    """A tenant as administrators see it."""

    id: str
    name: str
    mode_policy: ModeAsked
    max_think_tokens: int | None
    limits: Limits
    weight: Decimal
    monthly_budget: Decimal | None
    think_off_at: Decimal
    created_at: datetime
    budget: Budget | None
    """Where the tenant stands this month; null without a budget."""


class KeyChange(BaseModel):
    """A change of an API key, as a JSON merge patch (RFC 7396): what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    name: Label = ""
    limits: LimitsChange = LimitsChange()
    """Of the key alone; the tenant's hold as well."""
    monthly_budget: Money | None = None
    """In the service's currency; null is no budget but the tenant's."""
    think_off_at: Share = Decimal("0.8")
    """Share of the key's budget past which `auto` becomes think-off."""

    def columns(self) -> dict[str, Any]:
        """The columns that the sender named, with their values."""
        return {**self.model_dump(exclude_unset=True, exclude={"limits"}), **self.limits.model_dump(exclude_unset=True)}


class NewKey(KeyChange):
    """An API key to be made."""

    project: Name = "default"
    expires_at: AwareDatetime | None = None


class KeyView(BaseModel):
    """An API key, without the key."""

    id: UUID
    tenant: str
    project: str
    name: str
    prefix: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    limits: Limits
    monthly_budget: Decimal | None
    think_off_at: Decimal
    budget: Budget | None
    """Where the key stands this month; null without a budget of its own."""


class IssuedKey(KeyView):
    """A fresh API key. The key is in this answer and nowhere else: only its hash is stored."""

    key: str


def create_tenant(connection: Connection, new: NewTenant) -> None:
    """Raises ConflictError where the id is taken."""
    statement = upsert(tenant).values(new.columns()).on_conflict_do_nothing().returning(tenant.c.id)
    if connection.execute(statement).one_or_none() is None:
        raise ConflictError(f"There is a tenant {new.id!r} already.", errors=[FieldError("id", "is taken")])


def change_tenant(connection: Connection, tenant_id: str, change: TenantChange) -> None:
    """Raises NotFoundError."""
    columns = change.columns()
    if not columns:
        require_tenant(connection, tenant_id)
        return
    statement = update(tenant).where(tenant.c.id == tenant_id).values(columns).returning(tenant.c.id)
    if connection.execute(statement).one_or_none() is None:
        raise _no_tenant(tenant_id)


def require_tenant(connection: Connection, tenant_id: str) -> None:
    """Raises NotFoundError."""
    if connection.execute(select(tenant.c.id).where(tenant.c.id == tenant_id)).one_or_none() is None:
        raise _no_tenant(tenant_id)


def tenant_rows(
    connection: Connection, tenant_id: str | None = None, *, after: str | None = None, limit: int | None = None
) -> Sequence[RowMapping]:
    """Tenants by id, those after the one of this id; or the one. Raises NotFoundError where there is no such one."""
    statement = select(tenant).order_by(tenant.c.id).limit(limit)
    if after is not None:
        statement = statement.where(tenant.c.id > after)
    if tenant_id is not None:
        statement = statement.where(tenant.c.id == tenant_id)
    rows = connection.execute(statement).mappings().all()
    if tenant_id is not None and not rows:
        raise _no_tenant(tenant_id)
    return rows


def limits_of(row: RowMapping) -> Limits:
    return Limits.model_validate({name: row[name] for name in Limits.model_fields})


def budget_of(row: RowMapping, spent: Mapping[Any, Decimal], currency: str) -> Budget | None:
    """The budget of a row of `tenant` or `api_key`; `spent` is by the row's id."""
    if row["monthly_budget"] is None:
        return None
    return budget(
        monthly=row["monthly_budget"],
        spent=spent.get(row["id"], Decimal(0)),
        think_off_at=row["think_off_at"],
        currency=currency,
    )


def view(row: RowMapping, spent: Mapping[str, Decimal], currency: str) -> TenantView:
    plain = {name: row[name] for name in TenantView.model_fields if name in row}
    return TenantView(**plain, limits=limits_of(row), budget=budget_of(row, spent, currency))


def issue_key(connection: Connection, tenant_id: str, new: NewKey, *, now: datetime, currency: str) -> IssuedKey:
    """Raises NotFoundError for an unknown tenant, InvalidError for a key that would be expired already."""
    if new.expires_at is not None and new.expires_at <= now:
        raise InvalidError("The key would be expired already.", errors=[FieldError("expires_at", "must be later")])
    require_tenant(connection, tenant_id)
    key = new_api_key()
    row = (
        connection.execute(
            insert(api_key)
            .values(
                id=new_event_id(),
                tenant_id=tenant_id,
                sha256=hash_api_key(key),
                prefix=key[:_PREFIX_LENGTH],
                created_at=now,
                **{"project": new.project, **new.columns()},
            )
            .returning(api_key)
        )
        .mappings()
        .one()
    )
    return IssuedKey(**_key_columns(row, {}, currency), key=key)


def change_key(connection: Connection, key_id: UUID, change: KeyChange) -> RowMapping:
    """The key's row after the change. Raises NotFoundError."""
    columns = change.columns()
    if columns:
        connection.execute(update(api_key).where(api_key.c.id == key_id).values(columns))
    row = connection.execute(select(api_key).where(api_key.c.id == key_id)).mappings().one_or_none()
    if row is None:
        raise _no_key(key_id)
    return row


def key_view(row: RowMapping, spent: Mapping[UUID, Decimal], currency: str) -> KeyView:
    return KeyView(**_key_columns(row, spent, currency))


def keys_of(
    connection: Connection,
    tenant_id: str,
    spent: Mapping[UUID, Decimal],
    currency: str,
    *,
    after: UUID | None = None,
    limit: int | None = None,
) -> list[KeyView]:
    """The keys that the tenant ever had, revoked ones included, oldest first, those after the one of this id.

    Raises NotFoundError.
    """
    require_tenant(connection, tenant_id)
    statement = select(api_key).where(api_key.c.tenant_id == tenant_id).order_by(api_key.c.id).limit(limit)
    if after is not None:
        statement = statement.where(api_key.c.id > after)
    return [key_view(row, spent, currency) for row in connection.execute(statement).mappings()]


def revoke_key(connection: Connection, key_id: UUID, *, now: datetime) -> None:
    """Of no effect on a key that is revoked already. Raises NotFoundError."""
    if connection.execute(select(api_key.c.id).where(api_key.c.id == key_id)).one_or_none() is None:
        raise _no_key(key_id)
    connection.execute(
        update(api_key).where(api_key.c.id == key_id, api_key.c.revoked_at.is_(None)).values(revoked_at=now)
    )


def _key_columns(row: RowMapping, spent: Mapping[UUID, Decimal], currency: str) -> dict[str, Any]:
    return {
        "tenant": row["tenant_id"],
        "limits": limits_of(row),
        "budget": budget_of(row, spent, currency),
        **{name: row[name] for name in KeyView.model_fields if name in row},
    }


def _no_key(key_id: UUID) -> NotFoundError:
    return NotFoundError(f"There is no key {key_id}.")


def _no_tenant(tenant_id: str) -> NotFoundError:
    return NotFoundError(f"There is no tenant {tenant_id!r}.")
