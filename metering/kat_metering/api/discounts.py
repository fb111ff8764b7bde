"""Discounts of a tenant over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from kat.usage_event import Name, Segment
from kat_metering.api.auth import Admin, Reader
from kat_metering.api.pages import AFTER, DEFAULT_LIMIT, Limit, Number, cut
from kat_metering.api.services import WithServices
from kat_metering.discounts import Discount, DiscountsRefused, Percent, discount_change
from kat_metering.errors import FieldError, InvalidError
from kat_metering.prices import Source, WholeHour
from kat_metering.store.discount_rows import closed_until, discount_page, end_discount, insert_discounts, load_discounts
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
    """A page of a tenant's discounts, past and future ones included, in the order in which they were added."""

    model_config = ConfigDict(frozen=True)

    discounts: list[Discount]
    next: int | None
    """Ask with `after` set to this for what follows; null at the end."""


class DiscountsAdded(BaseModel):
    """What adding discounts changed."""

    model_config = ConfigDict(frozen=True)

    added: int
    ended: int
    """Open ones that now end where a new one begins."""
    unchanged: int


@router.get("/v1/tenants/{tenant_id}/discounts")
def list_discounts(
    identity: Reader,
    services: WithServices,
    tenant_id: Name,
    *,
    after: Annotated[Number | None, AFTER] = None,
    limit: Limit = DEFAULT_LIMIT,
) -> DiscountList:
    """A tenant's discounts. They are taken off on statements; usage and budgets are before discounts."""
    whose = identity.sees(tenant_id)
    with reading(services.engine, identity.tenant) as connection:
        rows = discount_page(connection, whose, after=after, limit=limit + 1)
    page, following = cut(rows, limit, lambda row: int(row["id"]))
    discounts = [Discount.model_validate({name: row[name] for name in Discount.model_fields}) for row in page]
    return DiscountList(discounts=discounts, next=following)


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
    _refuse_empty(new)
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


def _refuse_empty(new: list[NewDiscount]) -> None:
    errors = [
        FieldError(f"[{index}].effective_to", "must be later than effective_from")
        for index, each in enumerate(new)
        if each.effective_to is not None and each.effective_to <= each.effective_from
    ]
    if errors:
        raise InvalidError("The discounts cannot be used; nothing was changed.", errors=errors)
