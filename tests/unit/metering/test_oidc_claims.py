"""What the claims of a person's token say, wherever the provider puts it."""

from __future__ import annotations

from typing import Any

import pytest

from kat_metering.oidc import OidcRules, claim, person_of

RULES = OidcRules(
    issuer="https://id.example",
    audience="kat",
    algorithms=("RS256",),
    leeway_seconds=0,
    roles_claim="roles",
    tenant_claim="kat_tenant",
)


@pytest.mark.parametrize(
    ("claims", "path", "found"),
    [
        ({"roles": ["a"]}, "roles", ["a"]),
        ({"realm_access": {"roles": ["a"]}}, "realm_access.roles", ["a"]),
        ({"https://example.com/roles": ["a"]}, "https://example.com/roles", ["a"]),
        ({"realm_access": "a"}, "realm_access.roles", None),
        ({"realm_access": {}}, "realm_access.roles", None),
        ({}, "roles", None),
    ],
)
def test_a_claim_is_found_by_its_name_or_by_its_path(claims: dict[str, Any], path: str, found: Any) -> None:
    assert claim(claims, path) == found


@pytest.mark.parametrize(
    ("roles", "read"),
    [(["a", "b"], {"a", "b"}), ("a b", {"a", "b"}), (None, set()), (7, set()), ({"a": True}, set())],
)
def test_roles_come_as_a_list_or_as_words(roles: Any, read: set[str]) -> None:
    assert set(person_of({"sub": "1", "roles": roles}, RULES).roles) == read


@pytest.mark.parametrize("tenant", ["", None, 7, ["acme"], {"id": "acme"}])
def test_what_is_no_tenants_name_is_no_tenant(tenant: Any) -> None:
    assert person_of({"sub": "1", "kat_tenant": tenant}, RULES).tenant is None


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"email": "a@example.com", "name": "A"}, "a@example.com (1)"),
        ({"preferred_username": "a", "name": "A"}, "a (1)"),
        ({"name": "A"}, "A (1)"),
        ({}, "1"),
    ],
)
def test_a_person_is_named_for_people_and_told_apart_by_the_subject(claims: dict[str, Any], name: str) -> None:
    assert person_of({"sub": "1", **claims}, RULES).name == name
