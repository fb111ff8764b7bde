"""API keys of a tenant: tenants look, operators issue and revoke."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from http import HTTPStatus
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import ValidationError
from starlette.datastructures import FormData

from kat_metering.console.form_errors import as_invalid, text_of
from kat_metering.console.pages import address, page
from kat_metering.console.tenant_choice import tenant_choice
from kat_metering.console.visitor import Operator, OwnForm, SignedIn, Visitor
from kat_metering.errors import FieldError, InvalidError, NotFoundError
from kat_metering.store.engine import reading
from kat_metering.tenants import IssuedKey, NewKey, issue_key, keys_of, revoke_key

router = APIRouter()


@router.get("/keys")
def keys(request: Request, visitor: SignedIn, tenant: str | None = None) -> Response:
    return _page(request, visitor, tenant, issued=None)


@router.post("/keys")
def issue(request: Request, visitor: Operator, form: OwnForm) -> Response:
    """The fresh key is in this answer and nowhere else."""
    tenant = text_of(form, "tenant")
    with visitor.services.engine.begin() as connection:
        issued = issue_key(
            connection,
            tenant,
            _new_key(form),
            now=visitor.services.clock(),
            currency=visitor.services.settings.currency,
        )
    return _page(request, visitor, tenant, issued=issued)


@router.post("/keys/{key_id}/revocation")
def revoke(visitor: Operator, form: OwnForm, key_id: UUID) -> Response:
    with visitor.services.engine.begin() as connection:
        revoke_key(connection, key_id, now=visitor.services.clock())
    return RedirectResponse(address("keys", tenant=text_of(form, "tenant")), HTTPStatus.SEE_OTHER)


def _new_key(form: FormData) -> NewKey:
    try:
        return NewKey.model_validate(
            {
                "project": text_of(form, "project") or "default",
                "name": text_of(form, "name"),
                "expires_at": _end_of(text_of(form, "expires")),
                "monthly_budget": text_of(form, "monthly_budget") or None,
            }
        )
    except ValidationError as error:
        raise as_invalid(error) from error


def _end_of(day: str) -> datetime | None:
    """The end of the last day on which a key is good, in UTC. Raises InvalidError."""
    if not day:
        return None
    try:
        return datetime.combine(date.fromisoformat(day), time(tzinfo=UTC)) + timedelta(days=1)
    except (ValueError, OverflowError) as error:
        raise InvalidError("That is no day.", errors=[FieldError("expires", "expected YYYY-MM-DD")]) from error


def _page(request: Request, visitor: Visitor, tenant: str | None, *, issued: IssuedKey | None) -> Response:
    with reading(visitor.services.engine, visitor.identity.tenant) as connection:
        choice = tenant_choice(connection, visitor, tenant, required=True)
    # The tenants' role may not read keys at all, hence the owner's eyes, on this one tenant.
    services = visitor.services
    with reading(services.engine, None) as connection:
        spent = services.spending.this_month(connection, services.clock()).keys
        try:
            found = (
                [] if choice.tenant is None else keys_of(connection, choice.tenant, spent, services.settings.currency)
            )
        except NotFoundError:
            # A person's tenant, known from their identity provider, that was never made here.
            found = []
    now = services.clock()
    return page(
        request,
        "keys",
        visitor=visitor,
        choice=choice,
        keys=[(key, "revoked" if key.revoked_at else "expired" if key.expires_at and key.expires_at <= now else "active")
              for key in found],
        issued=issued,
        currency=services.settings.currency,
    )  # fmt: skip
