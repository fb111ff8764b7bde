"""Who calls, and what they may do. Every check of credentials is here.

A route takes one of `Admin`, `Service` or `Reader` as a parameter:

    @router.get("/v1/usage")
    def usage(identity: Reader, services: WithServices, tenant: str | None = None):
        with reading(services.engine, identity.sees(tenant)) as connection: ...
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final

from fastapi import Depends, Request, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import SecretStr
from sqlalchemy import Engine, select

from kat.directory import KEY_PREFIX, hash_api_key
from kat_metering.api.services import Services, WithServices
from kat_metering.errors import ForbiddenError, UnauthenticatedError
from kat_metering.oidc import Person
from kat_metering.store.acting import acts_as_administrator
from kat_metering.store.tables import api_key

_DOTS_OF_A_JWT: Final = 2


class Role(StrEnum):
    ADMIN = "admin"
    SERVICE = "service"
    TENANT = "tenant"


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose credentials came with a request."""

    role: Role
    tenant: str | None = None
    """The tenant of the key or of the person; None for an administrator and for a predictor."""

    def sees(self, asked: str | None) -> str | None:
        """The tenant whose rows the answer is about: the one asked for; a tenant's own by default; None is all.

        Raises ForbiddenError when a tenant asks for another.
        """
        if self.tenant is None:
            return asked
        if asked is not None and asked != self.tenant:
            raise ForbiddenError("This key sees its own tenant only.")
        return self.tenant


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise UnauthenticatedError("Send the header 'Authorization: Bearer <token>'.")
    return token


def _is_any(given: str, expected: Iterable[SecretStr]) -> bool:
    # Hashes of equal length, and all of them: the time tells nothing of the tokens, not even which of them it is.
    sha256 = hash_api_key(given)
    return any([hmac.compare_digest(sha256, hash_api_key(each.get_secret_value())) for each in expected])  # noqa: C419 - a generator would stop at the first that fits


def _tenant_of(engine: Engine, key: str, now: datetime) -> str | None:
    """The tenant of a key that is neither unknown, revoked nor expired."""
    sha256 = hash_api_key(key)
    with engine.connect() as connection:
        row = connection.execute(
            select(api_key.c.sha256, api_key.c.tenant_id, api_key.c.expires_at, api_key.c.revoked_at).where(
                api_key.c.sha256 == sha256
            )
        ).one_or_none()
    if row is None or not hmac.compare_digest(row.sha256, sha256) or row.revoked_at is not None:
        return None
    if row.expires_at is not None and row.expires_at <= now:
        return None
    return str(row.tenant_id)


async def identify(request: Request, services: Services) -> Identity:
    """Whose token came with the request.

    What an administrator changes from here on is put down under the administrator's name.

    Raises UnauthenticatedError, ForbiddenError for a person without a role, IdentityUnavailableError.
    """
    token = _bearer(request)
    is_admin = _is_any(token, services.settings.admin_tokens)
    is_service = _is_any(token, services.settings.service_tokens)
    if is_admin:
        acts_as_administrator("admin token")
        return Identity(Role.ADMIN)
    if is_service:
        return Identity(Role.SERVICE)
    if token.startswith(KEY_PREFIX):
        tenant = await run_in_threadpool(_tenant_of, services.engine, token, services.clock())
        if tenant is not None:
            return Identity(Role.TENANT, tenant)
    elif services.oidc is not None and token.count(".") == _DOTS_OF_A_JWT:
        return _identity_of(await run_in_threadpool(services.oidc.verify, token), services)
    raise UnauthenticatedError("The token is unknown, revoked or expired.")


def _identity_of(person: Person, services: Services) -> Identity:
    if services.settings.oidc_admin_role in person.roles:
        acts_as_administrator(f"person {person.name}")
        return Identity(Role.ADMIN)
    if person.tenant is None:
        raise ForbiddenError("You are known, but have neither the administrators' role nor a tenant here.")
    return Identity(Role.TENANT, person.tenant)


# Judged by `identify`, whose refusals are problems; this names the scheme in the OpenAPI document.
_Documented = Annotated[
    HTTPAuthorizationCredentials | None,
    Security(
        HTTPBearer(
            auto_error=False,
            scheme_name="token",
            description="The administrator's token, the service token, an API key, or a person's OIDC token.",
        )
    ),
]


def _require(*roles: Role) -> Callable[..., Coroutine[Any, Any, Identity]]:
    async def dependency(request: Request, services: WithServices, _: _Documented) -> Identity:
        identity = await identify(request, services)
        if identity.role not in roles:
            raise ForbiddenError(f"This needs the credentials of: {', '.join(roles)}.")
        return identity

    return dependency


Admin = Annotated[Identity, Depends(_require(Role.ADMIN))]
Service = Annotated[Identity, Depends(_require(Role.SERVICE))]
Recorder = Annotated[Identity, Depends(_require(Role.ADMIN, Role.SERVICE))]
"""An administrator, or a part of the platform, which says what it did."""
Reader = Annotated[Identity, Depends(_require(Role.ADMIN, Role.TENANT))]
"""An administrator, who sees every tenant, or a tenant, who sees itself."""
