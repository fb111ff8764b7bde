"""Discounts of a tenant over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from kat.usage_event import Name, Segment
from kat_metering.api.auth import Admin, Reader
from kat_metering.api.services import WithServices
from kat_metering.discounts import Discount, DiscountsRefused, Percent, discount_change
from kat_metering.errors import FieldError, InvalidError
from kat_metering.prices import Source, WholeHour
from kat_metering.store.discount_rows import closed_until, end_discount, insert_discounts, load_discounts
from kat_metering.store.engine import reading
from kat_metering.store.price_rows import lock_prices
from kat_metering.tenants import tenant_rows

router = APIRouter(tags=["prices"])

_MOST = 100


class NewDiscount(BaseModel):
    """A discount to add; the path names the tenant."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Name | None = None
    segment: Segment | None = None
    percent: Percent
    effective_from: WholeHour
    effective_to: WholeHour | None = None
    reason: Source

    def of(self, tenant: str) -> Discount:
        return Discount(tenant=tenant, **dict(self))


class DiscountList(BaseModel):
    """A tenant's discounts, past and future ones included."""

    model_config = ConfigDict(frozen=True)

    discounts: list[Discount]


class DiscountsAdded(BaseModel):
    """What adding discounts changed."""

    model_config = ConfigDict(frozen=True)

    added: int
    ended: int
    """Open ones that now end where a new one begins."""
    unchanged: int


@router.get("/v1/tenants/{tenant_id}/discounts")
def list_discounts(identity: Reader, services: WithServices, tenant_id: Name) -> DiscountList:
    """A tenant's discounts. They are taken off on statements; usage and budgets are before discounts."""
    whose = identity.sees(tenant_id)
    with reading(services.engine, identity.tenant) as connection:
        return DiscountList(discounts=load_discounts(connection, whose))


@router.post("/v1/tenants/{tenant_id}/discounts")
def add_discounts(
    _: Admin,
    services: WithServices,
    tenant_id: Name,
    new: Annotated[list[NewDiscount], Field(min_length=1, max_length=_MOST)],
) -> DiscountsAdded:
    """Add discounts, all or none. An open one ends where a new one of the same model and segment begins.

    0 percent ends a discount. Nothing changes in closed months.
    """
    incoming = [each.of(tenant_id) for each in new]
    with services.engine.begin() as connection:
        lock_prices(connection)
        tenant_rows(connection, tenant_id)
        try:
            change = discount_change(
                load_discounts(connection, tenant_id), incoming, closed_until=closed_until(connection, tenant_id)
            )
        except DiscountsRefused as error:
            raise InvalidError(
                "The discounts cannot be used; nothing was changed.",
                errors=[FieldError(f"[{each.index}].{each.field}", each.message) for each in error.problems],
            ) from error
        for ended in change.ended:
            end_discount(connection, ended)
        insert_discounts(connection, change.added)
    return DiscountsAdded(added=len(change.added), ended=len(change.ended), unchanged=change.unchanged)
