"""People come with tokens of an OpenID provider."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import jwt
import pytest
from pydantic import ValidationError

from kat_metering.errors import IdentityUnavailableError, UnauthenticatedError
from kat_metering.oidc import OidcRules, OidcVerifier, Person
from kat_metering.settings import Settings
from tests.fakes.clock import Clock
from tests.fakes.metering import ADMIN, ADMIN_TOKEN, SERVICE_TOKEN, bearer
from tests.fakes.metering_calls import deliver, got, key_of_new_tenant
from tests.fakes.oidc_issuer import AUDIENCE, Issuer, serving_issuer
from tests.fakes.usage_events import an_event

KEYS = "/keys"
ALICE = "alice@example.com (user-1)"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with serving_issuer() as issuer:
        yield issuer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def verifier(issuer: Issuer, clock: Clock) -> Iterator[OidcVerifier]:
    rules = OidcRules(
        issuer=issuer.url,
        audience=AUDIENCE,
        algorithms=("RS256", "ES256"),
        leeway_seconds=30,
        roles_claim="realm_access.roles",
        tenant_claim="kat_tenant",
    )
    with httpx.Client() as client:
        yield OidcVerifier(rules, client, monotonic=clock.monotonic)


def test_a_good_token_names_its_person(verifier: OidcVerifier, issuer: Issuer) -> None:
    token = issuer.token(realm_access={"roles": ["kat-admin", "x"]}, kat_tenant="acme")
    person = verifier.verify(token)
    assert person == Person(ALICE, frozenset({"kat-admin", "x"}), "acme")


def test_a_key_on_an_elliptic_curve_signs_as_well(verifier: OidcVerifier, issuer: Issuer) -> None:
    issuer.add_ec_key("curve")
    assert verifier.verify(issuer.token("curve")).name == ALICE


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another-service"},
        {"aud": None},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"exp": timedelta(seconds=-31)},
        {"exp": None},
        {"nbf": timedelta(seconds=60)},
        {"iat": timedelta(seconds=60)},
        {"iat": None},
        {"sub": None},
    ],
    ids=str,
)
def test_a_token_that_does_not_hold_is_refused(verifier: OidcVerifier, issuer: Issuer, claims: dict[str, Any]) -> None:
    with pytest.raises(UnauthenticatedError):
        verifier.verify(issuer.token(**claims))


@pytest.mark.parametrize("claims", [{"exp": timedelta(seconds=-20)}, {"nbf": timedelta(seconds=20)}], ids=str)
def test_clocks_may_differ_a_little(verifier: OidcVerifier, issuer: Issuer, claims: dict[str, Any]) -> None:
    assert verifier.verify(issuer.token(**claims)).name == ALICE


def test_a_token_without_a_signature_is_refused(verifier: OidcVerifier, issuer: Issuer) -> None:
    with pytest.raises(UnauthenticatedError, match="algorithm"):
        verifier.verify(jwt.encode(issuer.claims(), "", "none", headers={"kid": "first"}))


def test_the_public_key_is_no_shared_secret(verifier: OidcVerifier, issuer: Issuer) -> None:
    forged = issuer.token_signed_with_the_public_key("first")
    with pytest.raises(UnauthenticatedError, match="algorithm"):
        verifier.verify(forged)


def test_a_token_signed_by_a_stranger_under_a_known_key_id_is_refused(verifier: OidcVerifier, issuer: Issuer) -> None:
    with serving_issuer() as stranger:
        stranger.url = issuer.url
        forged = stranger.token()
    with pytest.raises(UnauthenticatedError, match="Signature"):
        verifier.verify(forged)


def test_a_token_that_was_tampered_with_is_refused(verifier: OidcVerifier, issuer: Issuer) -> None:
    (head, _, signature), (_, body, _) = (issuer.token(sub=name).split(".") for name in ("mallory", "admin"))
    with pytest.raises(UnauthenticatedError):
        verifier.verify(f"{head}.{body}.{signature}")


@pytest.mark.parametrize("token", ["a.b.c", "..", "é.é.é", "eyJhbGciOiJSUzI1NiJ9.e30.x"])
def test_what_is_no_token_is_refused(verifier: OidcVerifier, token: str) -> None:
    with pytest.raises(UnauthenticatedError):
        verifier.verify(token)


def test_the_keys_are_fetched_once_for_many_tokens(verifier: OidcVerifier, issuer: Issuer) -> None:
    for _ in range(5):
        verifier.verify(issuer.token())
    assert issuer.fetched.count(KEYS) == 1


def test_a_new_key_is_fetched_when_it_is_first_used(verifier: OidcVerifier, issuer: Issuer, clock: Clock) -> None:
    verifier.verify(issuer.token())
    issuer.add_rsa_key("second")
    clock.advance(11)
    assert verifier.verify(issuer.token("second")).name == ALICE


def test_made_up_key_ids_do_not_make_us_fetch_again_and_again(verifier: OidcVerifier, issuer: Issuer) -> None:
    verifier.verify(issuer.token())
    issuer.add_rsa_key("unpublished")
    token = issuer.token("unpublished")
    issuer.withdraw("unpublished")
    for _ in range(20):
        with pytest.raises(UnauthenticatedError, match="does not publish"):
            verifier.verify(token)
    assert issuer.fetched.count(KEYS) == 1


def test_a_withdrawn_key_signs_nothing_an_hour_later(verifier: OidcVerifier, issuer: Issuer, clock: Clock) -> None:
    issuer.add_rsa_key("second")
    token = issuer.token("second")
    assert verifier.verify(token).name == ALICE
    issuer.withdraw("second")
    clock.advance(3_601)
    with pytest.raises(UnauthenticatedError, match="does not publish"):
        verifier.verify(token)


def test_known_keys_serve_while_the_provider_is_away(verifier: OidcVerifier, issuer: Issuer, clock: Clock) -> None:
    token = issuer.token()
    verifier.verify(token)
    issuer.down = True
    clock.advance(10_000)
    assert verifier.verify(token).name == ALICE


def test_nobody_can_be_known_before_the_keys_were_seen(verifier: OidcVerifier, issuer: Issuer, clock: Clock) -> None:
    issuer.down = True
    for _ in range(2):
        with pytest.raises(IdentityUnavailableError):
            verifier.verify(issuer.token())
    issuer.down = False
    clock.advance(11)
    assert verifier.verify(issuer.token()).name == ALICE


def test_a_provider_that_calls_itself_otherwise_is_not_trusted(verifier: OidcVerifier, issuer: Issuer) -> None:
    issuer.calls_itself = "https://another.example"
    with pytest.raises(IdentityUnavailableError):
        verifier.verify(issuer.token())


def _options(issuer: Issuer) -> dict[str, str]:
    return {"oidc_issuer": issuer.url, "oidc_audience": AUDIENCE}


async def test_a_persons_change_is_put_down_under_the_persons_name(serve: Any, issuer: Issuer) -> None:
    async with serve(**_options(issuer)) as client:
        person = bearer(issuer.token(roles=["kat-admin"]))
        made = await client.post("/v1/tenants", json={"id": "acme", "name": "Acme"}, headers=person)
        assert made.status_code == httpx.codes.CREATED, made.text
        (entry,) = (await got(client, "/v1/audit", tenant="acme"))["entries"]
        assert entry["actor"] == f"person {ALICE}"


async def test_a_person_of_a_tenant_sees_that_tenant_alone(
    serve: Any, issuer: Issuer, catch_up: Callable[[], object]
) -> None:
    async with serve(**_options(issuer)) as client:
        for name in ("acme", "globex"):
            await key_of_new_tenant(client, name)
        await deliver(client, an_event(tenant="acme"), an_event(tenant="globex"))
        catch_up()
        person = bearer(issuer.token(kat_tenant="acme"))
        assert (await got(client, "/v1/usage", headers=person))["totals"]["requests"] == 1
        for path in ("/v1/usage?tenant=globex", "/v1/tenants", "/v1/audit"):
            assert (await client.get(path, headers=person)).status_code == httpx.codes.FORBIDDEN, path
        assert (await got(client, "/v1/usage"))["totals"]["requests"] == 2


async def test_a_person_without_a_role_or_a_tenant_is_forbidden(serve: Any, issuer: Issuer) -> None:
    async with serve(**_options(issuer)) as client:
        answer = await client.get("/v1/usage", headers=bearer(issuer.token(roles=["reader"])))
        assert answer.status_code == httpx.codes.FORBIDDEN
        assert "neither" in answer.json()["detail"]


async def test_a_provider_that_is_away_locks_no_machine_out(serve: Any, issuer: Issuer) -> None:
    issuer.down = True
    async with serve(**_options(issuer)) as client:
        person = await client.get("/v1/usage", headers=bearer(issuer.token(roles=["kat-admin"])))
        assert person.status_code == httpx.codes.SERVICE_UNAVAILABLE
        assert person.headers["Retry-After"]
        assert (await client.get("/v1/usage", headers=ADMIN)).status_code == httpx.codes.OK


async def test_without_a_provider_no_persons_token_opens_anything(client: httpx.AsyncClient, issuer: Issuer) -> None:
    answer = await client.get("/v1/usage", headers=bearer(issuer.token(roles=["kat-admin"])))
    assert answer.status_code == httpx.codes.UNAUTHORIZED
    assert issuer.fetched == []


@pytest.mark.parametrize(
    "options",
    [
        {"oidc_issuer": "https://id.example"},
        {"oidc_audience": "kat"},
        {"oidc_issuer": "http://id.example", "oidc_audience": "kat"},
        {"oidc_issuer": "https://id.example", "oidc_audience": "kat", "oidc_algorithms": ["HS256"]},
        {"oidc_issuer": "https://id.example", "oidc_audience": "kat", "oidc_algorithms": []},
    ],
    ids=str,
)
def test_settings_that_would_be_unsafe_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"admin_token": ADMIN_TOKEN, "service_token": SERVICE_TOKEN, **options})
