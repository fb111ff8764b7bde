"""The settings of metering. The environment is read here and nowhere else."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field, SecretStr, StringConstraints
from pydantic_settings import BaseSettings, SettingsConfigDict

Token = Annotated[SecretStr, Field(min_length=16)]


class StoreSettings(BaseSettings):
    """What it takes to reach the database: all that `kat metering migrate` and `rebuild` need."""

    model_config = SettingsConfigDict(env_prefix="KAT_", extra="ignore", use_attribute_docstrings=True)

    database_url: SecretStr | None = None
    """A `postgresql://` URL (version 15 or later). Without one, a server is kept in `KAT_HOME/postgres`."""
    database_connections: Annotated[int, Field(ge=3, le=500)] = 10
    """Connections to Postgres at most."""
    database_timeout_seconds: Annotated[float, Field(gt=0)] = 30
    """How long one statement, or the wait for a connection, may take before the caller gets a 503."""
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] = "USD"
    """ISO 4217 code of budgets and prices."""


class Settings(StoreSettings):
    """Each field is read from the environment variable of its name with the prefix `KAT_`."""

    admin_token: Token
    """Bearer token of administrators: tenants, keys, prices, every tenant's usage."""
    service_token: Token
    """Bearer token of predictors: ingest and directory, nothing else."""

    metering_host: str = "127.0.0.1"
    """Address to listen on."""
    metering_port: Annotated[int, Field(ge=0, le=65_535)] = 8090
    """Port to listen on; 0 takes a free one."""
    metering_migrate: bool = True
    """Bring the schema to head at start."""
    metering_max_body_bytes: Annotated[int, Field(ge=1_024)] = 8 * 1024 * 1024
    """Bytes of a request's body, at most."""

    max_event_age_days: Annotated[int, Field(ge=1)] = 400
    """Events older than this are rejected to the dead letters."""
    max_event_ahead_seconds: Annotated[float, Field(ge=0)] = 86_400
    """Events whose id lies further in the future than this are rejected to the dead letters."""
    rollup_interval_seconds: Annotated[float, Field(gt=0)] = 1
    """Time between two passes of the roll-up."""

    @property
    def max_event_age(self) -> timedelta:
        return timedelta(days=self.max_event_age_days)

    @property
    def max_event_ahead(self) -> timedelta:
        return timedelta(seconds=self.max_event_ahead_seconds)
