"""Exports: choosing a month and a format, and starting the download."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from kat_metering.api import exports as exports_api
from kat_metering.console.pages import page
from kat_metering.console.tenant_choice import tenant_choice
from kat_metering.console.visitor import SignedIn
from kat_metering.exports.formats import ExportFormat
from kat_metering.methods import Method
from kat_metering.store.engine import reading
from kat_metering.store.price_rows import load_baselines
from kat_metering.valuation import DEFAULT_BASELINE

router = APIRouter()

_MONTHS: Final = 14


@router.get("/exports")
def exports(request: Request, visitor: SignedIn, tenant: str | None = None) -> Response:
    with reading(visitor.services.engine, visitor.identity.tenant) as connection:
        choice = tenant_choice(connection, visitor, tenant)
        baselines = [baseline.name for baseline in load_baselines(connection)]
    first = visitor.services.clock().replace(day=1)
    months = [f"{first:%Y-%m}"]
    while len(months) < _MONTHS:
        first = (first - timedelta(days=1)).replace(day=1)
        months.append(f"{first:%Y-%m}")
    return page(
        request,
        "exports",
        visitor=visitor,
        choice=choice,
        months=months,
        formats=list(ExportFormat),
        baselines=sorted({*baselines} - {DEFAULT_BASELINE}),
        default_baseline=DEFAULT_BASELINE,
        no_baseline=exports_api.NO_BASELINE,
        methods=list(Method),
    )


@router.get("/exports/download")
async def download(
    *,
    visitor: SignedIn,
    month: Annotated[str, Query(max_length=20)],
    tenant: str | None = None,
    format: ExportFormat = ExportFormat.CSV,  # noqa: A002 - the name that the API has for it
    baseline: str = DEFAULT_BASELINE,
    method: Method = Method.L2,
) -> Response:
    return await exports_api.export_usage(
        identity=visitor.identity,
        services=visitor.services,
        month=month,
        tenant=visitor.sees(tenant),
        format=format,
        baseline=baseline,
        method=method,
    )
