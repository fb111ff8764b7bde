"""Tenants, callers and usage events, with what a test does not care about filled in."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from kat.directory import ApiKey, Budget, BudgetState, Limits, Tenant, hash_api_key
from kat.usage_event import Mode, ModeSource, Status, Tokens, Usage, UsageEvent, new_event_id, time_of
from kat_predictor.tenants import Caller

KEY_ID = UUID("0196f2a0-0000-7000-8000-000000000001")


def a_caller(tenant: str = "acme", *, budget: BudgetState | None = None, weight: str = "1", **limits: Any) -> Caller:
    return Caller(
        tenant=Tenant(
            id=tenant,
            name=tenant.title(),
            limits=Limits(**limits),
            weight=Decimal(weight),
            budget=None if budget is None else _budget(budget),
        ),
        key=ApiKey(id=KEY_ID, tenant=tenant, project="search", sha256=hash_api_key(f"sk-kat-{tenant}")),
    )


def a_usage_event(tenant: str = "acme") -> UsageEvent:
    event_id = new_event_id()
    usage = Usage(
        tenant=tenant,
        model="tiny",
        mode=Mode.OFF,
        mode_source=ModeSource.MODEL,
        tokens=Tokens(prompt=7, answer=5),
        status=Status.OK,
        duration_ms=12.5,
        engine_seconds=0.01,
    )
    return UsageEvent(id=event_id, source="test:8080", subject=tenant, time=time_of(event_id), data=usage)


def _budget(state: BudgetState) -> Budget:
    return Budget(monthly=Decimal(50), currency="USD", spent=Decimal(50), think_off_at=Decimal("0.8"), state=state)
