"""The query parameters that reports share: whose usage, when, grouped by what."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Depends, Query

from kat.usage_event import Name
from kat_metering.api.auth import Reader
from kat_metering.api.services import WithServices
from kat_metering.errors import FieldError, InvalidError
from kat_metering.periods import Window
from kat_metering.savings_report import Dimension
from kat_metering.usage import UsageQuery

_DEFAULT_GROUPS: Final = "tenant,day,mode,model"
From = Annotated[
    str | None,
    Query(
        alias="from",
        description="date, or time on a whole hour; default: the first of this month",
        examples=["2026-11-01"],
    ),
]
To = Annotated[
    str | None,
    Query(alias="to", description="exclusive; default: the end of this hour", examples=["2026-11-30T12:00:00+00:00"]),
]
_ALIASES: Final = {"key": Dimension.API_KEY_ID}


def _dimension(name: str) -> Dimension:
    if name in _ALIASES:
        return _ALIASES[name]
    try:
        return Dimension(name)
    except ValueError as error:
        known = ", ".join(Dimension)
        raise InvalidError(
            f"Usage cannot be grouped by {name!r}.", errors=[FieldError("group_by", f"expected some of: {known}")]
        ) from error


def dimensions(group_by: str) -> tuple[Dimension, ...]:
    """Dimensions from a list with commas, each once. An empty list is one group of everything. Raises InvalidError."""
    names = [name.strip() for name in group_by.split(",")]
    return tuple(dict.fromkeys(_dimension(name) for name in names if name))


def _report_query(
    *,
    identity: Reader,
    services: WithServices,
    tenant: Annotated[Name | None, Query(description="default: all that the caller may see")] = None,
    start: From = None,
    end: To = None,
    group_by: Annotated[str, Query(description="dimensions, with commas between")] = _DEFAULT_GROUPS,
) -> UsageQuery:
    window = Window.between(start, end, now=services.clock())
    return UsageQuery(window=window, tenant=identity.sees(tenant), group_by=dimensions(group_by))


ReportQuery = Annotated[UsageQuery, Depends(_report_query)]
"""Type of a route's parameter that receives the query. A tenant's key sees its own tenant only."""
