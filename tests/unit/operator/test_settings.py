"""The operator's settings."""

import pytest

from kat_operator.errors import SettingsError
from kat_operator.settings import load_settings


def test_namespaces_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAT_OPERATOR_NAMESPACES", "llm, other,")

    assert load_settings().namespaces == ("llm", "other")


def test_without_namespaces_all_are_served() -> None:
    assert load_settings().namespaces == ()


def test_a_bad_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAT_OPERATOR_CONCURRENCY", "0")

    with pytest.raises(SettingsError, match="KAT_OPERATOR_CONCURRENCY"):
        load_settings()


def test_two_processes_of_one_machine_have_two_names_in_the_lease() -> None:
    assert load_settings().name.rpartition("_")[2].isdigit()
