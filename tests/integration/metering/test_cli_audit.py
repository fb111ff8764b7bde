"""`kat audit` and `kat webhooks`, against a real service."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
from click.testing import CliRunner, Result

from kat_metering.cli_audit import audit, changes
from kat_metering.cli_webhooks import webhooks
from kat_metering.settings import Settings
from tests.fakes.metering import ADMIN, ADMIN_TOKEN
from tests.fakes.metering_server import metering_server

Kat = Callable[..., Result]


@pytest.fixture
def kat(settings: Settings, tmp_path: Path) -> Iterator[Kat]:
    """Runs commands against a service with the tenant acme, whose budget was changed once."""
    with metering_server(settings) as url:
        httpx.post(f"{url}/v1/tenants", json={"id": "acme", "name": "[bold]Acme"}, headers=ADMIN).raise_for_status()
        httpx.patch(f"{url}/v1/tenants/acme", json={"monthly_budget": "25"}, headers=ADMIN).raise_for_status()

        def run(command: click.Command, *arguments: str) -> Result:
            environment = {"KAT_METERING_URL": url, "KAT_ADMIN_TOKEN": ADMIN_TOKEN, "KAT_HOME": str(tmp_path)}
            return CliRunner().invoke(command, arguments, env={**environment, "COLUMNS": "160"})

        yield run


def test_the_audit_is_shown_and_webhooks_are_kept(kat: Kat) -> None:
    """One service for all commands: starting it takes longer than they do."""
    shown = kat(audit, "--tenant", "acme")
    assert shown.exit_code == 0, shown.output
    assert "monthly_budget: null → 25" in shown.output
    assert "[bold]Acme" in shown.output

    latest = json.loads(kat(audit, "--tenant", "acme", "--limit", "1", "--format", "json").stdout)["entries"]
    assert [entry["action"] for entry in latest] == ["change"]
    rows = list(csv.DictReader(io.StringIO(kat(audit, "--object", "tenant", "--format", "csv").stdout)))
    assert [row["action"] for row in rows] == ["change", "create"]

    made = kat(webhooks, "add", "acme", "https://example.com/hook")
    webhook, secret = made.stdout.split()
    assert secret.startswith("whsec_")
    listed = kat(webhooks, "list", "acme").stdout
    assert webhook in listed
    assert secret not in listed
    assert json.loads(kat(webhooks, "alerts", "acme", "--format", "json").stdout) == {"alerts": [], "next": None}
    assert "acknowledged" in kat(webhooks, "alerts", "acme").stdout
    renewed = kat(webhooks, "renew", webhook).stdout.strip()
    assert renewed.startswith("whsec_")
    assert renewed != secret
    assert kat(webhooks, "remove", webhook).exit_code == 0
    gone = kat(webhooks, "remove", webhook)
    assert (gone.exit_code, "There is no webhook" in gone.output) == (1, True)
    refused = kat(webhooks, "add", "acme", "ftp://example.com")
    assert (refused.exit_code, "url" in refused.output) == (1, True)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({"a": 1, "b": "x"}, {"a": 2, "b": "x"}, "a: 1 → 2"),
        (None, {"a": 1, "b": None}, "a: 1"),
        ({"a": 0, "b": None}, None, "a: 0"),
        ({"a": 1}, {"a": 1}, "(a secret)"),
    ],
)
def test_an_entry_is_told_by_what_changed(before: Any, after: Any, told: str) -> None:
    assert changes({"before": before, "after": after}) == told
