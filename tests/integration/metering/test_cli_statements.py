"""`kat statements` and the parts of `kat prices` that change money, against a real service."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from kat_metering.cli_prices import prices
from kat_metering.cli_statements import statements
from kat_metering.settings import Settings
from tests.fakes.metering import ADMIN_TOKEN
from tests.fakes.metering_server import metering_server
from tests.fakes.usage_events import an_event

Kat = Callable[..., Result]
THIS_MONTH = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
LAST_MONTH = (THIS_MONTH - timedelta(days=1)).replace(day=1)
LAST = f"{LAST_MONTH:%Y-%m}"


@pytest.fixture
def kat(settings: Settings, tmp_path: Path) -> Iterator[Kat]:
    """Runs commands against a service where acme and globex used something last month, globex of an unpriced model."""
    events = [
        an_event(at=LAST_MONTH, tokens={"think": 1_033_333}),
        an_event(at=LAST_MONTH, tenant="globex", model="mystery", tokens={"answer": 7}),
    ]
    with metering_server(settings, *events) as url:

        def run(command: click.Command, *arguments: str, **given: Any) -> Result:
            environment = {"KAT_METERING_URL": url, "KAT_ADMIN_TOKEN": ADMIN_TOKEN, "KAT_HOME": str(tmp_path)}
            return CliRunner().invoke(command, arguments, env={**environment, "COLUMNS": "100"}, **given)

        yield run


def test_a_month_is_drafted_closed_shown_adjusted_and_verified(kat: Kat, tmp_path: Path) -> None:
    """One service for all commands: starting it takes longer than they do."""
    drafted = kat(statements, "draft", "--tenant", "acme", "--month", LAST)
    assert drafted.exit_code == 0, drafted.output
    assert "1,033,333" in drafted.output

    done = kat(statements, "close", "--month", LAST)
    assert done.exit_code == 1
    assert "KAT-000001  acme  0.1 USD\n" in done.stdout
    assert "globex: Some usage has no price" in done.stderr
    assert "7 tokens of mystery / answer / mode on" in done.stderr

    forced = kat(statements, "close", "--month", LAST, "--despite-unpriced", "a trial")
    assert (forced.exit_code, forced.stdout) == (0, "KAT-000002  globex  0 USD\n")
    assert kat(statements, "close", "--month", LAST).stdout == f"Nobody is due in {LAST}.\n"

    document = tmp_path / "statement.json"
    assert kat(statements, "show", "KAT-000001", "--format", "json", "-o", str(document)).output == ""
    assert json.loads(document.read_bytes())["total"] == "0.1"
    assert "<h1>Statement KAT-000001</h1>" in kat(statements, "show", "KAT-000001", "--format", "html").stdout
    assert "rounding" in kat(statements, "show", "KAT-000001").stdout
    listed = json.loads(kat(statements, "list", "--format", "json").stdout)["statements"]
    assert [each["name"] for each in listed] == ["KAT-000001", "KAT-000002"]
    assert "KAT-000002" in kat(statements, "list").stdout

    adjusted = kat(statements, "adjust", "KAT-000001", "--credit", "0.04", "--reason", "slow day")
    assert adjusted.stdout == "0.04 USD to acme for KAT-000001\n"
    assert "slow day" in kat(statements, "draft", "--tenant", "acme").stdout

    verified = kat(statements, "verify")
    assert (verified.exit_code, "2 statements, all intact." in verified.stdout) == (0, True)
    assert listed[1]["sha256"] in verified.stdout
    assert kat(statements, "verify", "--sha256", listed[0]["sha256"]).exit_code == 0
    missing = kat(statements, "verify", "--sha256", "0" * 64)
    assert (missing.exit_code, "no statement has the hash" in missing.output) == (1, True)


def test_prices_are_compared_re_rated_and_discounted(kat: Kat, tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(
        f"[{{model: KAT-V1-40B, segment: think, per_million: 0.2, currency: USD, effective_from: {LAST_MONTH:%Y-%m-%dT%H:00:00Z},"
        f" effective_to: {THIS_MONTH:%Y-%m-%dT%H:00:00Z}, basis: compute, source: a contract, source_date: 2026-01-01}}]"
    )
    imported = kat(prices, "diff", str(file))
    assert (imported.exit_code, "added" in imported.stdout, "changed" in imported.stdout) == (0, True, True)
    shown = kat(prices, "rerate", str(file))
    assert (shown.exit_code, "repeat with --yes" in shown.stderr) == (0, True)
    [impact] = json.loads(kat(prices, "diff", str(file), "--rerate", "--format", "json").stdout)["impact"]
    assert (impact["cost_before"], impact["cost_after"]) == ("0.1033333", "0.2066666")
    assert kat(prices, "rerate", str(file), "--yes").exit_code == 0
    assert "No difference." in kat(prices, "rerate", str(file)).stdout
    assert kat(prices, "diff", "--from", "1", "--format", "csv").stdout.startswith("change,model,segment")
    assert "rerate" in kat(prices, "versions").stdout
    assert kat(prices, "diff").exit_code == 2

    given = kat(prices, "discount", "acme", "12.5%", "--from", f"{LAST_MONTH:%Y-%m-%dT%H:%MZ}", "--reason", "volume")
    assert "There is no tenant" in given.output
