"""Credentials of one machine stay readable by their owner alone."""

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from kat.cli import main
from kat.home import Credentials, credentials_path, load_credentials


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KAT_HOME", str(tmp_path))
    return tmp_path


CREDENTIALS = Credentials(
    metering_url="http://127.0.0.1:1",
    predictor_url="http://127.0.0.1:2",
    admin_token=SecretStr("admin-secret"),
    service_token=SecretStr("service-secret"),
    api_key=SecretStr("sk-kat-secret"),
    tenant="demo",
)


def test_saved_credentials_are_loaded_again() -> None:
    CREDENTIALS.save(credentials_path())
    assert load_credentials() == CREDENTIALS


def test_the_file_is_readable_by_its_owner_alone() -> None:
    CREDENTIALS.save(credentials_path())
    assert stat.S_IMODE(credentials_path().stat().st_mode) == 0o600


def test_no_credentials_before_the_first_run() -> None:
    assert load_credentials() is None


def test_printing_credentials_shows_no_secret() -> None:
    assert "secret" not in repr(CREDENTIALS)


def test_env_prints_what_the_openai_sdk_reads() -> None:
    CREDENTIALS.save(credentials_path())
    result = CliRunner().invoke(main, ["env"])
    assert result.output.splitlines() == [
        "export OPENAI_BASE_URL=http://127.0.0.1:2/v1",
        "export OPENAI_API_KEY=sk-kat-secret",
    ]


def test_env_says_what_to_do_where_nothing_runs() -> None:
    result = CliRunner().invoke(main, ["env"])
    assert (result.exit_code, "kat up" in result.output) == (1, True)
