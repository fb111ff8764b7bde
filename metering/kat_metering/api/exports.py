"""GET /v1/exports/usage."""

from __future__ import annotations

from functools import partial
from typing import IO, Annotated, Final

import anyio
from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from sqlalchemy import Engine
from starlette.types import Receive, Scope, Send

from kat.usage_event import Name
from kat_metering.api.auth import Reader
from kat_metering.api.document import CONFLICT
from kat_metering.api.services import WithServices
from kat_metering.errors import FieldError, InvalidError
from kat_metering.exports.formats import ExportFormat
from kat_metering.exports.pieces import MEDIA_TYPES, Wanted, export_pieces
from kat_metering.exports.spool import pieces_of, spool
from kat_metering.methods import Method
from kat_metering.periods import Window
from kat_metering.statement_lines import Month
from kat_metering.store.engine import reading
from kat_metering.valuation import DEFAULT_BASELINE, BaselineChoice

router = APIRouter(tags=["exports"])

NO_BASELINE: Final = "none"
"""In place of a baseline's name: no savings columns."""

_AT_ONCE: Final = anyio.CapacityLimiter(2)
"""Exports that read at one time; the others wait, so that they leave connections to ingest."""


@router.get(
    "/v1/exports/usage",
    response_class=StreamingResponse,
    responses={200: {"content": {each: {"schema": {"type": "string"}} for each in MEDIA_TYPES.values()}}, **CONFLICT},
)
async def export_usage(
    *,
    identity: Reader,
    services: WithServices,
    month: Annotated[Month, Query(description="YYYY-MM, in UTC")],
    tenant: Annotated[
        Name | None,
        Query(description="a tenant's key exports its own; administrators say whose, or none for all in FOCUS"),
    ] = None,
    format: ExportFormat = ExportFormat.CSV,  # noqa: A002 - the parameter's public name
    baseline: Annotated[
        str, Query(description="FOCUS: what the savings columns compare with; none leaves them empty")
    ] = DEFAULT_BASELINE,
    method: Annotated[Method, Query(description="FOCUS: the method of the savings columns")] = Method.L2,
) -> StreamingResponse:
    """A tenant's month in one snapshot; the costs add up to that of /v1/usage.

    csv, jsonl and parquet have a row for each usage event; focus-csv and focus-parquet have one for each tenant,
    project, key, SKU, mode and hour in the columns of FOCUS 1.2, and are as fresh as the roll-up is.
    """
    whose = identity.sees(tenant)
    if whose is None and not format.is_focus:
        raise InvalidError("Say whose usage to export.", errors=[FieldError("tenant", "is needed")])
    wanted = Wanted(
        tenant=whose,
        month=Window.month(month),
        form=format,
        choice=None if baseline == NO_BASELINE else BaselineChoice(baseline, method),
        currency=services.settings.currency,
        provider=services.settings.provider_name,
    )
    write = partial(_written, services.engine, wanted, seen_by=identity.tenant)
    file, size = await anyio.to_thread.run_sync(write, limiter=_AT_ONCE)
    return _SpooledResponse(
        file,
        media_type=MEDIA_TYPES[format],
        headers={
            "Content-Length": str(size),
            "Content-Disposition": f'attachment; filename="usage-{month}.{format.suffix}"',
        },
    )


class _SpooledResponse(StreamingResponse):
    """A file that is closed whatever becomes of the client, also one that leaves before the first byte."""

    def __init__(self, file: IO[bytes], *, media_type: str, headers: dict[str, str]) -> None:
        super().__init__(pieces_of(file), media_type=media_type, headers=headers)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._file:
            await super().__call__(scope, receive, send)


def _written(engine: Engine, wanted: Wanted, *, seen_by: str | None) -> tuple[IO[bytes], int]:
    with reading(engine, seen_by) as connection:
        return spool(export_pieces(connection, wanted))
