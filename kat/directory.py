"""The tenant directory: who may call a predictor, under which limits. Metering writes it, predictors pull it."""

from __future__ import annotations

import hashlib
import secrets
from decimal import Decimal
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from kat.usage_event import ModeAsked, Name

KEY_PREFIX = "sk-kat-"


class BudgetState(StrEnum):
    """Where a tenant, or a key, stands in its monthly budget."""

    OK = "ok"
    THINK_OFF = "think_off"
    """Past its threshold: `auto` becomes think-off."""
    EXHAUSTED = "exhausted"
    """At the limit: requests are refused."""


class Limits(BaseModel):
    """Limits of a tenant, or of one of its keys, on one replica; None is no limit."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    requests_per_minute: Annotated[int, Field(gt=0)] | None = None
    tokens_per_minute: Annotated[int, Field(gt=0)] | None = None
    concurrency: Annotated[int, Field(gt=0)] | None = None


Weight = Annotated[Decimal, Field(ge=Decimal("0.01"), le=100, max_digits=8, allow_inf_nan=False)]
"""A tenant's share of a full replica, against those of the other tenants that wait: 2 gets twice what 1 gets."""


class Budget(BaseModel):
    """The budget of the current calendar month, in UTC."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    monthly: Decimal
    currency: str
    spent: Decimal
    think_off_at: Decimal
    """Share of `monthly` past which `auto` becomes think-off."""
    state: BudgetState


class Tenant(BaseModel):
    """One tenant as predictors see it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: Name
    name: str
    mode_policy: ModeAsked = ModeAsked.AUTO
    """`on` or `off` overrides whatever a request asks; `auto` leaves the choice."""
    max_think_tokens: Annotated[int, Field(ge=0)] | None = None
    limits: Limits = Limits()
    weight: Weight = Decimal(1)
    budget: Budget | None = None


class ApiKey(BaseModel):
    """An API key as predictors see it: its hash, never itself."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: UUID
    tenant: Name
    project: Name = "default"
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    expires_at: AwareDatetime | None = None
    limits: Limits = Limits()
    """Of this key; the tenant's hold as well, so that the stricter of the two decides."""
    budget: Budget | None = None
    """Of this key; the tenant's holds as well."""


class Directory(BaseModel):
    """Everything a predictor needs to know of tenants. Revoked keys are not in it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    tenants: list[Tenant]
    keys: list[ApiKey]


def new_api_key() -> str:
    """A fresh API key with 256 random bits."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def hash_api_key(key: str) -> str:
    """SHA-256 in hex. A key has 256 random bits, so a slow password hash would add nothing but time."""
    return hashlib.sha256(key.encode()).hexdigest()
