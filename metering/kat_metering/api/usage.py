"""GET /v1/usage."""

from __future__ import annotations

from fastapi import APIRouter

from kat_metering import valuation
from kat_metering.api.report_query import ReportQuery
from kat_metering.api.services import WithServices
from kat_metering.store.engine import reading
from kat_metering.usage import UsageReport

router = APIRouter(tags=["usage"])


# A row carries the dimensions of its group only, hence exclude_unset.
@router.get("/v1/usage", response_model_exclude_unset=True)
def usage(query: ReportQuery, services: WithServices) -> UsageReport:
    """Requests, tokens and cost by group, at the prices in force in each hour; unpriced tokens on their own."""
    with reading(services.engine, query.tenant) as connection:
        return valuation.usage(connection, query)
