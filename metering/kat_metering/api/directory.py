"""The tenant directory over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Response

from kat.directory import Directory
from kat_metering.api.auth import Service
from kat_metering.api.services import WithServices
from kat_metering.directory import etag_of, matches, read_directory
from kat_metering.store.engine import reading

router = APIRouter(tags=["directory"])


@router.get("/v1/directory", response_model=Directory, responses={304: {"description": "Not modified."}})
def directory(_: Service, services: WithServices, if_none_match: Annotated[str | None, Header()] = None) -> Response:
    """Tenants, limits, budget states and key hashes, with an ETag over the whole."""
    currency = services.settings.currency
    with reading(services.engine, None) as connection:
        spent = services.spending.this_month(connection, services.clock())
        content = read_directory(connection, spent=spent, currency=currency).model_dump_json().encode()
    headers = {"ETag": etag_of(content), "Cache-Control": "no-cache"}
    if matches(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type="application/json", headers=headers)
