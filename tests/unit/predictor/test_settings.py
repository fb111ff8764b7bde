"""What can be set, and what is said about a bad setting."""

from __future__ import annotations

from pathlib import Path

import pytest

from kat_predictor.errors import SettingsError
from kat_predictor.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for field in Settings.model_fields:
        monkeypatch.delenv(f"KAT_{field.upper()}", raising=False)
    monkeypatch.setenv("KAT_HOME", str(tmp_path))
    monkeypatch.setenv("KAT_SERVICE_TOKEN", "hunter2")


def test_the_service_token_is_all_that_must_be_set() -> None:
    assert load_settings().service_token.get_secret_value() == "hunter2"


def test_a_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAT_SERVICE_TOKEN")
    with pytest.raises(SettingsError, match=r"^KAT_SERVICE_TOKEN is not set$"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KAT_PORT", "99999"),
        ("KAT_DEFAULT_TEMPERATURE", "-1"),
        ("KAT_DEFAULT_TOP_P", "0"),
        ("KAT_ENGINE", "abacus"),
        ("KAT_METERING_URL", "metering"),
        ("KAT_MAX_CONCURRENT_REQUESTS", "none"),
        ("KAT_OUTBOX_MAX_EVENTS", "0"),
        ("KAT_OUTBOX_SYNC", "never"),
        ("KAT_GRACE_SECONDS", "-5"),
    ],
)
def test_a_bad_setting_is_named_in_one_line(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=rf"^{name}: [^\n]+$"):
        load_settings()


def test_all_bad_settings_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAT_PORT", "x")
    monkeypatch.setenv("KAT_ENGINE", "x")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert {part.split(":")[0] for part in str(caught.value).split("; ")} == {"KAT_PORT", "KAT_ENGINE"}


def test_the_value_of_a_bad_setting_is_never_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAT_PORT", "sk-secret-in-the-wrong-variable")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "sk-secret" not in str(caught.value)


def test_settings_do_not_show_the_token() -> None:
    assert "hunter2" not in repr(load_settings())


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("default", "smollm2-135m"),
        ("smollm2-135m-instruct", "smollm2-135m-instruct"),
        ("Kwaipilot/KAT-V1-40B", "KAT-V1-40B"),
        ("/models/KAT-V1-40B-AWQ/", "KAT-V1-40B-AWQ"),
    ],
)
def test_the_served_name_follows_from_the_model(monkeypatch: pytest.MonkeyPatch, model: str, name: str) -> None:
    monkeypatch.setenv("KAT_MODEL", model)
    assert load_settings().served_name == name


def test_a_name_that_was_set_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAT_MODEL", "Kwaipilot/KAT-V1-40B")
    monkeypatch.setenv("KAT_MODEL_NAME", "kat")
    assert load_settings().served_name == "kat"


def test_state_is_kept_in_the_home_folder(tmp_path: Path) -> None:
    settings = load_settings()
    assert (settings.outbox_folder, settings.directory_file, settings.model_cache_folder) == (
        tmp_path / "outbox",
        tmp_path / "directory.json",
        tmp_path / "models",
    )


def test_state_is_kept_where_it_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAT_OUTBOX_PATH", "/state/outbox")
    monkeypatch.setenv("KAT_DIRECTORY_PATH", "/state/directory")
    monkeypatch.setenv("KAT_MODEL_CACHE", "/cache")
    settings = load_settings()
    assert (settings.outbox_folder, settings.directory_file, settings.model_cache_folder) == (
        Path("/state/outbox"),
        Path("/state/directory"),
        Path("/cache"),
    )


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAT_PORT", "")
    assert load_settings().port == 8080


@pytest.mark.parametrize("field", Settings.model_fields)
def test_every_setting_is_described(field: str) -> None:
    assert (Settings.model_fields[field].description or "").endswith(".")
