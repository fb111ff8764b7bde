"""Health, readiness and metrics. No credentials needed, nothing told that needs any."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from kat_metering.api.document import UNAVAILABLE
from kat_metering.api.services import WithServices
from kat_metering.errors import StoreUnavailableError
from kat_metering.store.schema import is_at_head

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process is alive."""
    return {"status": "ok"}


@router.get("/readyz", responses=UNAVAILABLE)
def readyz(services: WithServices) -> dict[str, str]:
    """The database answers, and its schema is the one this version was written for."""
    with services.engine.connect() as connection:
        if not is_at_head(connection):
            raise StoreUnavailableError("The database is not migrated to this version's schema.")
    if not services.keeper.prepared:
        raise StoreUnavailableError("The database is being prepared.")
    return {"status": "ready"}


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(services: WithServices) -> Response:
    return Response(generate_latest(services.metrics.registry), media_type=CONTENT_TYPE_LATEST)
