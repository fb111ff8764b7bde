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


def test_predictors_run_as_a_user_that_is_not_root() -> None:
    assert load_settings().run_as_user == 1_000


def test_predictors_run_as_the_user_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAT_OPERATOR_RUN_AS_USER", "1000650000")

    assert load_settings().run_as_user == 1_000_650_000


def test_the_platform_may_choose_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAT_OPERATOR_RUN_AS_USER", "platform")

    assert load_settings().run_as_user is None


@pytest.mark.parametrize("user", ["0", "root"])
def test_root_and_names_are_no_users_of_predictors(monkeypatch: pytest.MonkeyPatch, user: str) -> None:
    monkeypatch.setenv("KAT_OPERATOR_RUN_AS_USER", user)

    with pytest.raises(SettingsError, match="KAT_OPERATOR_RUN_AS_USER"):
        load_settings()
