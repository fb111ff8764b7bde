"""Budgets and limits: where each tenant stands this month, and, for operators, changing it."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import ValidationError
from starlette.datastructures import FormData

from kat.usage_event import ModeAsked
from kat_metering.console.form_errors import as_invalid, text_of
from kat_metering.console.pages import address, page
from kat_metering.console.tenant_choice import tenant_choice
from kat_metering.console.visitor import Operator, OwnForm, SignedIn
from kat_metering.errors import FieldError, InvalidError, NotFoundError
from kat_metering.store.engine import reading
from kat_metering.tenants import TenantChange, change_tenant, tenant_rows, view

router = APIRouter()

_LIMITS: Final = ("requests_per_minute", "tokens_per_minute", "concurrency")
_PERCENT: Final = Decimal(100)


@router.get("/budgets")
def budgets(request: Request, visitor: SignedIn, tenant: str | None = None) -> Response:
    services = visitor.services
    with reading(services.engine, visitor.identity.tenant) as connection:
        choice = tenant_choice(connection, visitor, tenant)
    # What everybody spent is computed once for all and kept; only the rows of the choice are shown.
    with reading(services.engine, None) as connection:
        spent = services.spending.this_month(connection, services.clock()).tenants
        try:
            rows = tenant_rows(connection, choice.tenant)
        except NotFoundError:
            rows = []
    return page(
        request,
        "budgets",
        visitor=visitor,
        choice=choice,
        tenants=[(view(row, spent, services.settings.currency), spent.get(row["id"], Decimal(0))) for row in rows],
        currency=services.settings.currency,
        month=f"{services.clock():%Y-%m}",
        policies=[policy.value for policy in ModeAsked],
        limit_names=_LIMITS,
    )


@router.post("/budgets")
def change(visitor: Operator, form: OwnForm) -> Response:
    tenant = text_of(form, "tenant")
    try:
        changed = TenantChange.model_validate(_change(form))
    except ValidationError as error:
        raise as_invalid(error) from error
    with visitor.services.engine.begin() as connection:
        change_tenant(connection, tenant, changed)
    return RedirectResponse(f"{address('budgets')}#tenant-{tenant}", HTTPStatus.SEE_OTHER)


def _change(form: FormData) -> dict[str, Any]:
    """The form as a merge patch: an empty field takes the budget or limit away."""
    return {
        "monthly_budget": text_of(form, "monthly_budget") or None,
        "think_off_at": _share(text_of(form, "think_off_percent")),
        "mode_policy": text_of(form, "mode_policy"),
        "limits": {name: text_of(form, name) or None for name in _LIMITS},
    }


def _share(percent: str) -> Decimal:
    try:
        return Decimal(percent) / _PERCENT
    except InvalidOperation as error:
        raise InvalidError(
            "The threshold is no number.", errors=[FieldError("think_off_percent", "expected 0 to 100")]
        ) from error
