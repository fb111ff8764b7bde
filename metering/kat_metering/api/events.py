"""Ingest of usage events."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from kat.usage_event import BATCH_CONTENT_TYPE
from kat_metering.api.auth import Service
from kat_metering.api.services import Services, WithServices
from kat_metering.ingest import store
from kat_metering.intake import Bounds, read_delivery

router = APIRouter(tags=["events"])


class RejectedEvent(BaseModel):
    index: int
    id: str | None
    reason: str


class Acknowledgement(BaseModel):
    """What became of a delivery. All of it is committed."""

    new: int
    duplicate: int
    rejected: int
    rejections: list[RejectedEvent]


@router.post(
    "/v1/events",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                BATCH_CONTENT_TYPE: {
                    "schema": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": 1000,
                        "items": {"$ref": "#/components/schemas/UsageEvent"},
                    }
                }
            },
        }
    },
)
async def ingest(request: Request, _: Service, services: WithServices) -> Acknowledgement:
    """Store a batch of usage events, each exactly once. A rejected event is kept and acknowledged too."""
    # The body is read here, after the caller is known, and judged event by event: one bad event fails no other.
    body = await request.body()
    return await run_in_threadpool(_ingest, services, body)


def _ingest(services: Services, body: bytes) -> Acknowledgement:
    settings = services.settings
    bounds = Bounds(max_age=settings.max_event_age, max_ahead=settings.max_event_ahead)
    intake = read_delivery(body, now=services.clock(), bounds=bounds)
    receipt = store(services.engine, intake)
    committed_ms = services.clock().timestamp() * 1000
    services.metrics.ingested(
        new=receipt.new,
        duplicate=receipt.duplicate,
        rejected=len(receipt.rejections),
        lags=[(committed_ms - event.ended_ms) / 1000 for _, event in intake.events],
    )
    return Acknowledgement(
        new=receipt.new,
        duplicate=receipt.duplicate,
        rejected=len(receipt.rejections),
        rejections=[RejectedEvent(index=r.index, id=r.id, reason=r.reason) for r in receipt.rejections],
    )
