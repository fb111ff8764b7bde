"""`kat tenants` and `kat keys`, against a real service."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from uuid import uuid4

import click
import httpx
import pytest
from click.testing import CliRunner, Result

from kat_metering.cli_keys import keys
from kat_metering.cli_tenants import tenants
from kat_metering.settings import Settings
from tests.fakes.metering import ADMIN_TOKEN, SERVICE, bearer
from tests.fakes.metering_server import metering_server

Kat = Callable[..., Result]


@pytest.fixture
def address(settings: Settings) -> Iterator[str]:
    with metering_server(settings) as url:
        yield url


@pytest.fixture
def kat(address: str, tmp_path: Path) -> Kat:
    """Runs commands against a service without tenants."""

    def run(command: click.Command, *arguments: str) -> Result:
        environment = {"KAT_METERING_URL": address, "KAT_ADMIN_TOKEN": ADMIN_TOKEN, "KAT_HOME": str(tmp_path)}
        return CliRunner().invoke(command, arguments, env={**environment, "COLUMNS": "160"})

    return run


def done(result: Result) -> Result:
    assert result.exit_code == 0, result.output
    return result


def as_json(result: Result) -> Any:
    return json.loads(done(result).stdout)


def works(address: str, key: str) -> bool:
    return httpx.get(f"{address}/v1/usage", headers=bearer(key)).status_code == httpx.codes.OK


def test_tenants_are_created_changed_and_listed(kat: Kat, address: str) -> None:
    """One service for all commands: starting it takes longer than they do."""
    made = as_json(
        kat(tenants, "create", "acme", "--name", "[bold]Acme", "--monthly-budget", "500", "--format", "json")
    )
    assert made["tenants"][0]["budget"]["monthly"] == "500"
    done(kat(tenants, "create", "globex", "--mode-policy", "off"))

    changes = ("--concurrency", "8", "--tokens-per-minute", "100000", "--max-think-tokens", "2000", "--weight", "2")
    done(kat(tenants, "change", "acme", *changes))
    [acme] = as_json(kat(tenants, "show", "acme", "--format", "json"))["tenants"]
    assert acme["limits"] == {"requests_per_minute": None, "tokens_per_minute": 100_000, "concurrency": 8}
    assert (acme["name"], acme["max_think_tokens"], acme["weight"]) == ("[bold]Acme", 2_000, "2")
    directory = httpx.get(f"{address}/v1/directory", headers=SERVICE).json()
    assert {each["id"]: each["mode_policy"] for each in directory["tenants"]} == {"acme": "auto", "globex": "off"}

    done(kat(tenants, "change", "acme", "--concurrency", "none", "--monthly-budget", "none"))
    [acme] = as_json(kat(tenants, "show", "acme", "--format", "json"))["tenants"]
    assert (acme["limits"]["concurrency"], acme["limits"]["tokens_per_minute"], acme["budget"]) == (None, 100_000, None)

    listed = done(kat(tenants, "list")).stdout
    assert "[bold]Acme" in listed
    assert "100,000 tokens/min" in listed
    rows = csv.DictReader(io.StringIO(done(kat(tenants, "list", "--format", "csv")).stdout))
    assert [(row["id"], row["limits.tokens_per_minute"]) for row in rows] == [("acme", "100000"), ("globex", "")]


def test_what_metering_refuses_is_told_with_the_field(kat: Kat) -> None:
    done(kat(tenants, "create", "acme"))
    for arguments, said in {
        ("create", "acme"): "There is a tenant 'acme' already",
        ("create", "No Slug"): "id",
        ("change", "acme", "--weight", "0"): "weight",
        ("change", "acme", "--requests-per-minute", "many"): "limits.requests_per_minute",
        ("show", "nobody"): "There is no tenant 'nobody'",
    }.items():
        refused = kat(tenants, *arguments)
        assert (refused.exit_code, said in refused.output) == (1, True), refused.output


def test_keys_are_issued_limited_rotated_and_revoked(kat: Kat, address: str) -> None:
    done(kat(tenants, "create", "acme"))
    options = ("--project", "search", "--name", "production", "--monthly-budget", "50", "--expires-at", "2100-01-01")
    key_id, key = done(kat(keys, "create", "acme", *options)).stdout.split()
    assert works(address, key)
    done(kat(keys, "change", key_id, "--requests-per-minute", "60"))

    new_id, new = done(kat(keys, "rotate", "acme", key_id)).stdout.split()
    assert (works(address, key), works(address, new)) == (False, True)
    old, rotated = as_json(kat(keys, "list", "acme", "--format", "json"))["keys"]
    assert (old["id"], old["revoked_at"] is None, rotated["id"]) == (key_id, False, new_id)
    kept = ("project", "name", "limits", "monthly_budget", "think_off_at", "expires_at")
    assert {name: rotated[name] for name in kept} == {name: old[name] for name in kept}
    assert (rotated["limits"]["requests_per_minute"], rotated["expires_at"]) == (60, "2100-01-01T00:00:00Z")

    _, third = done(kat(keys, "rotate", "acme", new_id, "--keep-old")).stdout.split()
    assert (works(address, new), works(address, third)) == (True, True)
    assert done(kat(keys, "revoke", new_id)).stdout == "Revoked.\n"
    assert (works(address, new), works(address, third)) == (False, True)

    listed = done(kat(keys, "list", "acme")).stdout
    assert "60 requests/min" in listed
    assert "revoked " in listed
    assert not any(secret in listed for secret in (key, new, third))


def test_a_key_that_is_revoked_or_anothers_is_not_rotated(kat: Kat) -> None:
    for name in ("acme", "globex"):
        done(kat(tenants, "create", name))
    key_id, _ = done(kat(keys, "create", "acme")).stdout.split()
    anothers = kat(keys, "rotate", "globex", key_id)
    assert (anothers.exit_code, "globex has no key" in anothers.output) == (1, True)
    done(kat(keys, "revoke", key_id))
    revoked = kat(keys, "rotate", "acme", key_id)
    assert (revoked.exit_code, "is revoked" in revoked.output) == (1, True)
    unknown = kat(keys, "revoke", str(uuid4()))
    assert (unknown.exit_code, "There is no key" in unknown.output) == (1, True)


def test_kat_finds_both_commands() -> None:
    found = {each.name: each.value for each in entry_points(group="kat.commands")}
    assert found["tenants"] == "kat_metering.cli_tenants:tenants"
    assert found["keys"] == "kat_metering.cli_keys:keys"
