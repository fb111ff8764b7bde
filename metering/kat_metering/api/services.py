"""What the routes work with. `main.py` puts it together; tests may put together another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from sqlalchemy import Engine

from kat_metering.budgets import Spending
from kat_metering.keeper import Keeper
from kat_metering.metrics import Metrics
from kat_metering.oidc import OidcVerifier
from kat_metering.settings import Settings


@dataclass(frozen=True, slots=True)
class Services:
    settings: Settings
    engine: Engine
    metrics: Metrics
    spending: Spending
    keeper: Keeper
    clock: Callable[[], datetime]
    """Now, in UTC."""
    oidc: OidcVerifier | None = None
    """Where people may come with tokens of an identity provider."""


def provide(app: FastAPI, services: Services) -> None:
    app.state.services = services


async def _services(request: Request) -> Services:
    services = request.app.state.services
    if not isinstance(services, Services):
        raise TypeError(f"services are {type(services)}")
    return services


WithServices = Annotated[Services, Depends(_services)]
"""Type of a route's parameter that receives the services."""
