"""GET /v1/audit."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from kat_metering.api.auth import Admin
from kat_metering.api.pages import AFTER, DEFAULT_LIMIT, Limit, Number
from kat_metering.api.services import WithServices
from kat_metering.audit import AuditPage, audit_page
from kat_metering.store.engine import reading

router = APIRouter(tags=["audit"])

# Postgres holds no NUL, so nothing by such a name is there.
Filter = Annotated[str | None, Query(max_length=300, pattern=r"^[^\x00]*$")]


@router.get("/v1/audit")
def audit(
    _: Admin,
    services: WithServices,
    *,
    before: Annotated[Number | None, AFTER] = None,
    limit: Limit = DEFAULT_LIMIT,
    tenant: Filter = None,
    object: Filter = None,  # noqa: A002 - the parameter's public name
    actor: Filter = None,
) -> AuditPage:
    """What administrators changed, latest first. Nothing can be added or taken away over HTTP."""
    with reading(services.engine, None) as connection:
        return audit_page(connection, limit=limit, before=before, tenant=tenant, kind=object, actor=actor)
