"""People's bearer tokens: JWTs of an OpenID provider, checked with the keys that it publishes.

The provider is found by OpenID Connect Discovery 1.0; a token is checked as RFC 9068 and RFC 8725 ask: signature by an
asymmetric algorithm of a short list, issuer, audience, times.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx
import jwt
import structlog
from pydantic import BaseModel, ValidationError

from kat_metering.errors import IdentityUnavailableError, UnauthenticatedError

log = structlog.get_logger(__name__)

_DISCOVERY: Final = "/.well-known/openid-configuration"
_KEYS_GOOD_FOR_SECONDS: Final = 3_600.0
_REFRESH_PAUSE_SECONDS: Final = 10.0
"""At least so long between two fetches of the keys, whatever key ids strangers make up."""


class _Discovery(BaseModel):
    issuer: str
    jwks_uri: str


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a token is about."""

    name: str
    roles: frozenset[str]
    tenant: str | None


@dataclass(frozen=True, slots=True)
class OidcRules:
    """What a token must be like, and where it says what. Claims are names, or paths such as `realm_access.roles`."""

    issuer: str
    audience: str
    algorithms: Sequence[str]
    leeway_seconds: float
    roles_claim: str
    tenant_claim: str


class OidcVerifier:
    """Checks tokens. Thread-safe; it fetches over HTTP, so not for the event loop."""

    def __init__(
        self, rules: OidcRules, client: httpx.Client, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._rules = rules
        self._client = client
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None

    def verify(self, token: str) -> Person:
        """Who sent this token.

        Raises UnauthenticatedError for one that does not hold, IdentityUnavailableError where the provider's keys were
        never seen and cannot be fetched.
        """
        rules = self._rules
        try:
            # Looked at before the signature is checked: it only chooses between keys, and algorithms all allowed.
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in rules.algorithms:
                raise UnauthenticatedError("The token is signed by an algorithm that is not accepted.")
            claims = jwt.decode(
                token,
                self._key(header.get("kid")),
                algorithms=list(rules.algorithms),
                audience=rules.audience,
                issuer=rules.issuer,
                leeway=rules.leeway_seconds,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            raise UnauthenticatedError(f"The token is not accepted: {error}.") from error
        return person_of(claims, rules)

    def _key(self, kid: str | None) -> jwt.PyJWK:
        # Without waiting for whoever fetches keys just now.
        if not self._stale() and (known := self._keys.get(kid)) is not None:
            return known
        with self._lock:
            if kid not in self._keys or self._stale():
                self._refresh()
            key = self._keys.get(kid)
            if key is None and kid is None and len(self._keys) == 1:
                (key,) = self._keys.values()
        if key is None:
            raise UnauthenticatedError("The token is signed with a key that its issuer does not publish.")
        return key

    def _stale(self) -> bool:
        return self._fetched_at is None or self._monotonic() - self._fetched_at > _KEYS_GOOD_FOR_SECONDS

    def _refresh(self) -> None:
        now = self._monotonic()
        if self._tried_at is not None and now - self._tried_at < _REFRESH_PAUSE_SECONDS:
            if self._fetched_at is None:
                raise IdentityUnavailableError("The identity provider does not answer; try again.")
            return
        self._tried_at = now
        try:
            self._keys = self._fetch()
        except (httpx.HTTPError, httpx.InvalidURL, ValidationError, ValueError, jwt.PyJWTError) as error:
            log.warning("the identity provider's keys cannot be fetched", issuer=self._rules.issuer, reason=str(error))
            if self._fetched_at is None:
                raise IdentityUnavailableError("The identity provider does not answer; try again.") from error
            # Known keys serve on: an outage of the provider locks nobody out who has a token.
        else:
            self._fetched_at = now

    def _fetch(self) -> dict[str | None, jwt.PyJWK]:
        issuer = self._rules.issuer
        found = _Discovery.model_validate_json(self._get(issuer.rstrip("/") + _DISCOVERY))
        if found.issuer != issuer:
            raise ValueError(f"the provider calls itself {found.issuer}")
        # Keys of other uses, such as encryption, or of types unknown to the library are left out by it.
        published = jwt.PyJWKSet.from_json(self._get(found.jwks_uri).decode()).keys
        return {key.key_id: key for key in published if key.public_key_use in {None, "sig"}}

    def _get(self, url: str) -> bytes:
        return self._client.get(url, headers={"Accept": "application/json"}).raise_for_status().content


def person_of(claims: Mapping[str, Any], rules: OidcRules) -> Person:
    """The person that a token's claims tell of. Names are for reading; the subject is what tells people apart."""
    subject = str(claims["sub"])
    known_as = next((str(claims[c]) for c in ("email", "preferred_username", "name") if claims.get(c)), None)
    roles = claim(claims, rules.roles_claim)
    if isinstance(roles, str):
        roles = roles.split()
    tenant = claim(claims, rules.tenant_claim)
    return Person(
        name=subject if known_as is None else f"{known_as} ({subject})",
        roles=frozenset(str(role) for role in roles) if isinstance(roles, list) else frozenset(),
        tenant=tenant if isinstance(tenant, str) and tenant else None,
    )


def claim(claims: Mapping[str, Any], path: str) -> Any:
    """The claim of this name; else the one that the dots lead to; else None."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for name in path.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(name)
    return found
