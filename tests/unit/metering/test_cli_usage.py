"""The commands by themselves: estimates without a platform, and errors on one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kat_metering.cli_export import export
from kat_metering.cli_prices import prices
from kat_metering.cli_usage import savings, usage


@pytest.fixture(autouse=True)
def _no_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KAT_METERING_URL", "KAT_ADMIN_TOKEN", "KAT_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KAT_HOME", str(tmp_path))


def estimated(*arguments: str) -> Result:
    return CliRunner().invoke(savings, ["estimate", *arguments])


def test_an_estimate_needs_no_platform_and_gives_300_usd() -> None:
    result = estimated("--task", "humaneval", "--calls", "1e6", "--format", "json")
    assert (result.exit_code, json.loads(result.output)["savings"]) == (0, "300")


def test_a_figure_given_on_the_command_line_replaces_the_cited_one() -> None:
    result = estimated("--gpu-hour-price", "4", "--format", "json")
    assert json.loads(result.output)["savings"] == "600"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--task", "chess"), "known: aime2024, livecodebench, humaneval"),
        (("--calls", "0"), "--calls"),
        (("--tokens-per-gpu-second", "-1"), "--tokens-per-gpu-second"),
        (("--calls", "many"), "'many' is not a number"),
    ],
)
def test_a_bad_figure_is_a_usage_error_that_names_the_option(arguments: tuple[str, ...], said: str) -> None:
    result = estimated(*arguments)
    assert result.exit_code == 2
    assert said in result.output


@pytest.mark.parametrize(
    ("command", "arguments"),
    [(usage, []), (savings, []), (export, ["--month", "2026-11"]), (prices, ["list"])],
    ids=["usage", "savings", "export", "prices"],
)
def test_without_a_platform_each_command_says_so_on_one_line(command: object, arguments: list[str]) -> None:
    result = CliRunner().invoke(command, arguments)  # type: ignore[arg-type] # both commands and groups
    assert result.exit_code == 1
    assert result.output == "Error: no platform here: run `kat up`, or set KAT_METERING_URL and KAT_ADMIN_TOKEN\n"


def test_a_platform_that_does_not_answer_is_an_error_on_one_line() -> None:
    # Port 9 (discard) of loopback: nothing listens there.
    result = CliRunner().invoke(usage, ["--url", "http://127.0.0.1:9", "--token", "t"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: no answer from metering at http://127.0.0.1:9")
    assert len(result.output.splitlines()) == 1


def test_the_token_of_this_machine_is_not_sent_to_another_address(tmp_path: Path) -> None:
    own = {
        "metering_url": "http://127.0.0.1:8090",
        "predictor_url": "http://127.0.0.1:8080",
        "admin_token": "secret-of-this-machine",
        "service_token": "secret-of-this-machine",
        "api_key": "sk-kat-x",
        "tenant": "demo",
    }
    (tmp_path / "credentials.json").write_text(json.dumps(own))
    result = CliRunner().invoke(usage, ["--url", "http://elsewhere.example"])
    assert (result.exit_code, "set KAT_ADMIN_TOKEN" in result.output) == (1, True)


def test_damaged_credentials_are_an_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "credentials.json").write_text("{")
    result = CliRunner().invoke(usage)
    assert (result.exit_code, str(tmp_path / "credentials.json") in result.output) == (1, True)


def test_the_commands_start_without_loading_the_service() -> None:
    ours = "kat_metering.cli_usage, kat_metering.cli_prices, kat_metering.cli_statements"
    loaded = f"import sys, {ours}; print({{'numpy', 'sqlalchemy', 'fastapi', 'jinja2'}} & sys.modules.keys())"
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, check=True).stdout == b"set()\n"
