"""The service's settings."""

from __future__ import annotations

import os

import pytest
from pydantic import ValidationError

from kat_metering.settings import Settings
from kat_metering.store.engine import database_url

TOKENS = {"KAT_ADMIN_TOKEN": "an-admin-token-of-some-length", "KAT_SERVICE_TOKEN": "a-service-token-of-some-length"}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [name for name in os.environ if name.startswith("KAT_")]:
        monkeypatch.delenv(name)
    for name, token in TOKENS.items():
        monkeypatch.setenv(name, token)
    return monkeypatch


def test_two_tokens_are_all_it_takes(environment: pytest.MonkeyPatch) -> None:
    settings = Settings()
    assert (settings.metering_host, settings.metering_port, settings.database_url) == ("127.0.0.1", 8090, None)


def test_secrets_are_not_told(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("KAT_DATABASE_URL", "postgresql://kat:password-of-the-database@db/kat")
    told = repr(Settings())
    for secret in (*TOKENS.values(), "password-of-the-database"):
        assert secret not in told


@pytest.mark.parametrize(
    "told", ["the-next-service-token the-last-service-token", "the-next-service-token\nthe-last-service-token\n"]
)
def test_further_tokens_are_parted_by_blanks(environment: pytest.MonkeyPatch, told: str) -> None:
    environment.setenv("KAT_FURTHER_SERVICE_TOKENS", told)
    tokens = [token.get_secret_value() for token in Settings().service_tokens]
    assert tokens == [TOKENS["KAT_SERVICE_TOKEN"], "the-next-service-token", "the-last-service-token"]


def test_no_token_is_both_the_administrators_and_the_predictors(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("KAT_FURTHER_ADMIN_TOKENS", TOKENS["KAT_SERVICE_TOKEN"])
    with pytest.raises(ValidationError, match="either the administrators' or the predictors'"):
        Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KAT_ADMIN_TOKEN", "short"),
        ("KAT_FURTHER_SERVICE_TOKENS", "a-service-token-of-some-length-too short"),
        ("KAT_METERING_PORT", "70000"),
        ("KAT_CURRENCY", "dollars"),
        ("KAT_ROLLUP_INTERVAL_SECONDS", "0"),
        ("KAT_DATABASE_CONNECTIONS", "1"),
    ],
)
def test_a_value_that_cannot_be_is_refused(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    environment.setenv(name, value)
    with pytest.raises(ValidationError):
        Settings()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_common_spelling_of_the_database_is_understood(scheme: str) -> None:
    assert database_url(f"{scheme}://kat@db/kat").drivername == "postgresql+psycopg"


def test_another_database_is_refused_without_telling_its_password() -> None:
    with pytest.raises(ValueError, match="PostgreSQL") as raised:
        database_url("mysql://kat:secret@db/kat")
    assert "secret" not in str(raised.value)
