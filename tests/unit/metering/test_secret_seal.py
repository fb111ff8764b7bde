"""Secrets under seal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from kat_metering.errors import SealedSecretError
from kat_metering.secret_seal import SecretSeal

OLD, NEW = SecretStr("the-key-that-was-there-before-this"), SecretStr("the-key-that-was-made-in-its-place")
SECRET = "whsec_c2VjcmV0"


@given(st.text())
def test_what_was_sealed_opens_to_what_it_was(secret: str) -> None:
    seal = SecretSeal([NEW])
    assert seal.open(seal.close(secret)) == secret


def test_nothing_of_the_secret_is_kept_in_the_clear() -> None:
    assert SECRET not in SecretSeal([NEW]).close(SECRET)


def test_two_seals_of_one_secret_differ() -> None:
    seal = SecretSeal([NEW])
    assert seal.close(SECRET) != seal.close(SECRET)


def test_without_a_key_secrets_are_kept_as_they_are() -> None:
    seal = SecretSeal([])
    assert (seal.close(SECRET), seal.open(SECRET), seal.renewed(SECRET)) == (SECRET, SECRET, None)


@pytest.mark.parametrize("keys", [[], [OLD]], ids=["no key", "another key"])
def test_only_the_key_opens(keys: list[SecretStr]) -> None:
    with pytest.raises(SealedSecretError, match="KAT_WEBHOOK_KEYS"):
        SecretSeal(keys).open(SecretSeal([NEW]).close(SECRET))


def test_a_seal_that_was_tampered_with_does_not_open() -> None:
    seal = SecretSeal([NEW])
    kept = seal.close(SECRET)
    middle = len(kept) // 2
    with pytest.raises(SealedSecretError):
        seal.open(kept[:middle] + ("A" if kept[middle] != "A" else "B") + kept[middle + 1 :])


@pytest.mark.parametrize("before", [[], [OLD]], ids=["never sealed", "sealed by the key before"])
def test_what_another_key_sealed_is_sealed_anew_by_the_first(before: list[SecretStr]) -> None:
    renewed = SecretSeal([NEW, OLD]).renewed(SecretSeal(before).close(SECRET))
    assert renewed is not None
    assert SecretSeal([NEW]).open(renewed) == SECRET


def test_what_the_first_key_sealed_stays() -> None:
    assert SecretSeal([NEW, OLD]).renewed(SecretSeal([NEW]).close(SECRET)) is None
