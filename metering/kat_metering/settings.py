"""The settings of metering. The environment is read here and nowhere else."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, StringConstraints, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


def _apart(value: object) -> object:
    return tuple(value.split()) if isinstance(value, str) else value


Token = Annotated[SecretStr, Field(min_length=16)]
# Blanks, and so lines, part them: no bearer token can hold one, and a Secret made of a file ends with one.
Tokens = Annotated[tuple[Token, ...], BeforeValidator(_apart), NoDecode]

_Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


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
    further_admin_tokens: Tokens = ()
    """Taken as `KAT_ADMIN_TOKEN` is, while that changes: the next one or the one before. Parted by blanks."""
    further_service_tokens: Tokens = ()
    """Taken as `KAT_SERVICE_TOKEN` is, while that changes: the next one or the one before. Parted by blanks."""

    metering_host: str = "127.0.0.1"
    """Address to listen on."""
    metering_port: Annotated[int, Field(ge=0, le=65_535)] = 8090
    """Port to listen on; 0 takes a free one."""
    metering_migrate: bool = True
    """Bring the schema to head at start."""
    metering_max_body_bytes: Annotated[int, Field(ge=1_024)] = 8 * 1024 * 1024
    """Bytes of a request's body, at most."""

    provider_name: Annotated[str, StringConstraints(min_length=1, max_length=200)] = "kat-serving"
    """Who provides the service, as exports say it (FOCUS: ProviderName, PublisherName, InvoiceIssuerName)."""

    gpu_hour_price: Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=9, allow_inf_nan=False)] | None = None
    """Price of one GPU for an hour, for replica hours that are recorded without one of their own."""

    console_secret: Annotated[SecretStr, Field(min_length=32)] | None = None
    """Seals the sessions of the console. Without one, sessions end with the process; replicas need to share one."""
    console_session_hours: Annotated[float, Field(gt=0, le=744)] = 12
    """How long somebody stays signed in to the console."""
    webhook_keys: Annotated[
        tuple[Annotated[SecretStr, Field(min_length=32)], ...], BeforeValidator(_apart), NoDecode
    ] = ()
    """Seal the secrets of webhooks in the database; parted by blanks. The first seals, all open: a new key comes first.
    Without any, the secrets lie there as they are."""
    predictor_url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s?#]+[^\s?#/]$")] | None = None
    """Where the console's playground finds a predictor, such as `http://127.0.0.1:8080`. Without one there is none."""

    statement_series: Annotated[str, StringConstraints(pattern=r"^[A-Z0-9][A-Z0-9-]{0,15}$")] = "KAT"
    """Begins the names of statements, which are numbered without gaps in it: KAT-000001. `KAT_PROVIDER_NAME` issues
    them."""

    oidc_issuer: Annotated[str, StringConstraints(pattern=r"^https?://[^/?#]+[^?#]*$")] | None = None
    """Accept bearer tokens of this OpenID provider for people, beside API keys for machines. https, but on loopback."""
    oidc_audience: Annotated[str, StringConstraints(min_length=1)] | None = None
    """The audience that their tokens must name. Needed with `KAT_OIDC_ISSUER`."""
    oidc_algorithms: Annotated[tuple[_Algorithm, ...], Field(min_length=1)] = ("RS256", "PS256", "ES256", "EdDSA")
    """Signatures that are accepted, as a JSON list."""
    oidc_leeway_seconds: Annotated[float, Field(ge=0, le=300)] = 30
    """How far the provider's clock may be from ours."""
    oidc_roles_claim: Annotated[str, StringConstraints(min_length=1)] = "roles"
    """The claim that lists a person's roles; dots lead into objects, as in `realm_access.roles`."""
    oidc_admin_role: Annotated[str, StringConstraints(min_length=1)] = "kat-admin"
    """The role that makes a person an administrator."""
    oidc_tenant_claim: Annotated[str, StringConstraints(min_length=1)] = "kat_tenant"
    """The claim that names the tenant a person may see, where the person is no administrator."""

    alert_interval_seconds: Annotated[float, Field(gt=0)] = 5
    """Time between two looks at budgets and at alerts that wait for delivery."""

    max_event_age_days: Annotated[int, Field(ge=1)] = 400
    """Events older than this are rejected to the dead letters."""
    max_event_ahead_seconds: Annotated[float, Field(ge=0)] = 86_400
    """Events whose id lies further in the future than this are rejected to the dead letters."""
    rollup_interval_seconds: Annotated[float, Field(gt=0)] = 1
    """Time between two passes of the roll-up."""

    @model_validator(mode="after")
    def _tokens_open_one_thing(self) -> Self:
        # Taken for an administrator's, a predictor's token would open everything.
        if set(self.admin_tokens) & set(self.service_tokens):
            raise ValueError("a token is either the administrators' or the predictors'")
        return self

    @model_validator(mode="after")
    def _provider_is_told_in_full(self) -> Self:
        if (self.oidc_issuer is None) != (self.oidc_audience is None):
            raise ValueError("KAT_OIDC_ISSUER and KAT_OIDC_AUDIENCE belong together")
        if self.oidc_issuer is not None:
            address = urlsplit(self.oidc_issuer)
            # Who can change the keys on their way can make tokens of anybody.
            if address.scheme != "https" and address.hostname not in _LOOPBACK:
                raise ValueError("KAT_OIDC_ISSUER must be https")
        return self

    @property
    def admin_tokens(self) -> tuple[SecretStr, ...]:
        """Every token that is an administrator's."""
        return (self.admin_token, *self.further_admin_tokens)

    @property
    def service_tokens(self) -> tuple[SecretStr, ...]:
        """Every token that is a predictor's."""
        return (self.service_token, *self.further_service_tokens)

    @property
    def max_event_age(self) -> timedelta:
        return timedelta(days=self.max_event_age_days)

    @property
    def max_event_ahead(self) -> timedelta:
        return timedelta(seconds=self.max_event_ahead_seconds)
