"""GET /v1/exports/usage."""

from __future__ import annotations

from functools import partial
from typing import IO, Annotated, Final

import anyio
from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from sqlalchemy import Engine

from kat_metering.api.auth import Reader
from kat_metering.api.services import WithServices
from kat_metering.errors import FieldError, InvalidError
from kat_metering.exports import csv, jsonl
from kat_metering.exports.formats import ExportFormat
from kat_metering.exports.rows import export_rows
from kat_metering.exports.spool import pieces_of, spool
from kat_metering.periods import Window
from kat_metering.prices import PriceBook
from kat_metering.store.engine import reading
from kat_metering.store.price_rows import load_prices

router = APIRouter(tags=["exports"])


_WRITERS: Final = {ExportFormat.CSV: csv.csv_lines, ExportFormat.JSONL: jsonl.json_lines}
_MEDIA_TYPES: Final = {ExportFormat.CSV: csv.MEDIA_TYPE, ExportFormat.JSONL: jsonl.MEDIA_TYPE}

_AT_ONCE: Final = anyio.CapacityLimiter(2)
"""Exports that read at one time; the others wait, so that they leave connections to ingest."""


@router.get("/v1/exports/usage", response_class=StreamingResponse)
async def export_usage(
    identity: Reader,
    services: WithServices,
    month: Annotated[str, Query(description="YYYY-MM, in UTC")],
    tenant: Annotated[str | None, Query(description="needed by administrators; a tenant's key exports its own")] = None,
    format: ExportFormat = ExportFormat.CSV,  # noqa: A002 - the parameter's public name
) -> StreamingResponse:
    """One row for each usage event of a tenant's month, in one snapshot; the costs add up to that of /v1/usage."""
    window = Window.month(month)
    whose = identity.sees(tenant)
    if whose is None:
        raise InvalidError("Say whose usage to export.", errors=[FieldError("tenant", "is needed")])
    write = partial(_written, services.engine, whose, window, format, seen_by=identity.tenant)
    file, size = await anyio.to_thread.run_sync(write, limiter=_AT_ONCE)
    return StreamingResponse(
        pieces_of(file),
        media_type=_MEDIA_TYPES[format],
        headers={
            "Content-Length": str(size),
            "Content-Disposition": f'attachment; filename="usage-{month}.{format}"',
        },
    )


def _written(
    engine: Engine, tenant: str, month: Window, form: ExportFormat, *, seen_by: str | None
) -> tuple[IO[bytes], int]:
    with reading(engine, seen_by) as connection:
        prices = PriceBook(load_prices(connection))
        return spool(_WRITERS[form](export_rows(connection, tenant, month, prices)))
