"""GET /v1/requests/{event_id}."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from kat_metering.api.auth import Reader
from kat_metering.api.document import CONFLICT
from kat_metering.api.services import WithServices
from kat_metering.request_report import RequestReport, request_report
from kat_metering.store.engine import reading
from kat_metering.valuation import DEFAULT_BASELINE

router = APIRouter(tags=["usage"])


@router.get("/v1/requests/{event_id}", responses=CONFLICT)
def request(
    event_id: UUID,
    identity: Reader,
    services: WithServices,
    baseline: Annotated[str, Query(description="a name from /v1/baselines")] = DEFAULT_BASELINE,
) -> RequestReport:
    """One request, rated. 404 until its predictor has delivered the event, and for another tenant's."""
    with reading(services.engine, identity.tenant) as connection:
        return request_report(connection, event_id, baseline)
