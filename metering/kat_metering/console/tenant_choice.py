"""Which tenant a page is about: a tenant's own, or the one that an operator picks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from kat_metering.console.visitor import Visitor
from kat_metering.errors import NotFoundError
from kat_metering.tenants import tenant_rows


@dataclass(frozen=True, slots=True)
class TenantChoice:
    """The tenant chosen, and what an operator may choose from."""

    tenant: str | None
    """None: all of them, for operators alone."""
    known: Sequence[tuple[str, str]]
    """Ids and names of all tenants; empty for a tenant."""


def tenant_choice(
    connection: Connection, visitor: Visitor, asked: str | None, *, required: bool = False
) -> TenantChoice:
    """The choice. Raises NotFoundError for a tenant that does not exist, or that the visitor may not see.

    `required`: where a page is about one tenant, operators get the first one until they pick another.
    """
    tenant = visitor.sees(asked)
    if not visitor.is_operator:
        return TenantChoice(tenant, ())
    known = [(row["id"], row["name"]) for row in tenant_rows(connection)]
    if tenant is not None and tenant not in dict(known):
        raise NotFoundError(f"There is no tenant {tenant!r}.")
    if tenant is None and required and known:
        tenant = known[0][0]
    return TenantChoice(tenant, known)
