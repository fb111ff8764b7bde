"""POST /v1/gpu-cost/replica-hours, GET /v1/gpu-cost."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from kat_metering.api.auth import Admin, Recorder
from kat_metering.api.document import CONFLICT
from kat_metering.api.report_query import From, To
from kat_metering.api.services import Services, WithServices
from kat_metering.errors import FieldError, InvalidError
from kat_metering.gpu_cost import HOUR, LEAD, Capacity, GpuCostReport, ReplicaHour, gpu_cost_report, share_out
from kat_metering.periods import Window
from kat_metering.store.archived import refuse_archived
from kat_metering.store.engine import reading
from kat_metering.store.gpu_rows import load_busy, load_capacity, record_hours

router = APIRouter(tags=["gpu cost"])

_MOST = 1_000


class Recorded(BaseModel):
    """What was recorded."""

    model_config = ConfigDict(frozen=True)

    replica_hours: int


@router.post("/v1/gpu-cost/replica-hours")
def record(
    _: Recorder, services: WithServices, hours: Annotated[list[ReplicaHour], Field(min_length=1, max_length=_MOST)]
) -> Recorded:
    """Record how long replicas held their GPUs, all or none. An hour that is recorded again takes the new figures."""
    capacity = _priced(services, hours)
    with services.engine.begin() as connection:
        record_hours(connection, capacity, currency=services.settings.currency)
    return Recorded(replica_hours=len(capacity))


@router.get("/v1/gpu-cost", responses=CONFLICT)
def gpu_cost(
    _: Admin,
    services: WithServices,
    start: From = None,
    end: To = None,
) -> GpuCostReport:
    """What the GPUs cost by tenant, and idle. Read from the usage events: 409 for months that are archived."""
    window = Window.between(start, end, now=services.clock())
    with reading(services.engine, None) as connection:
        refuse_archived(connection, window, "GPU cost by tenant")
        # An hour more than asked for: what runs on past the end belongs there, and is not lost here.
        capacity = load_capacity(connection, window.start - LEAD, window.end + HOUR)
        busy = load_busy(connection, window.start - LEAD, window.end)
    return gpu_cost_report(
        share_out(capacity, busy, start=window.start, end=window.end),
        start=window.start,
        end=window.end,
        currency=services.settings.currency,
        replica_hours=sum(window.start <= each.hour < window.end for each in capacity),
    )


def _priced(services: Services, hours: list[ReplicaHour]) -> list[Capacity]:
    """The hours with their prices. Raises InvalidError for one named twice, and for one without a price."""
    found: dict[tuple[object, ...], Capacity] = {}
    errors: list[FieldError] = []
    for index, each in enumerate(hours):
        price = services.settings.gpu_hour_price if each.gpu_hour_price is None else each.gpu_hour_price
        if price is None:
            errors.append(FieldError(f"[{index}].gpu_hour_price", "is needed: KAT_GPU_HOUR_PRICE is not set"))
        elif (each.source, each.hour) in found:
            errors.append(FieldError(f"[{index}].hour", "is there twice for this source"))
        else:
            found[each.source, each.hour] = Capacity(each.source, each.hour, each.gpus, each.seconds, price)
    if errors:
        raise InvalidError("The replica hours cannot be used; nothing was changed.", errors=errors)
    return list(found.values())
