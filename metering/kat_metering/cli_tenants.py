"""`kat tenants`: who may ask, how much, and how they think."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from rich.console import RenderableType
from rich.text import Text

from kat.usage_event import ModeAsked
from kat_metering.cli_client import Command, checked, connection, get, get_all, metering
from kat_metering.cli_limits import budget_told, limit_options, limits_told, merge_patch
from kat_metering.cli_output import format_option, show
from kat_metering.cli_price_tables import plain_table

_MODES = click.Choice([mode.value for mode in ModeAsked])


@click.group()
def tenants() -> None:
    """Create tenants, and set their limits, budgets and mode policy. For administrators."""


def _tenant_options(command: Command) -> Command:
    for option in (
        limit_options,
        click.option("--weight", help="Share of a full replica against other tenants that wait: 0.01 to 100."),
        click.option("--max-think-tokens", help="Tokens of thinking for each request; `none` for no limit."),
        click.option("--mode-policy", type=_MODES, help="`on` or `off` overrides what requests ask for."),
    ):
        command = option(command)
    return command


@tenants.command()
@click.argument("tenant")
@click.option("--name", help="Its name on statements. Default: the id.")
@_tenant_options
@format_option
@connection
def create(
    *, tenant: str, name: str | None, form: str, url: str | None, token: str | None, **given: str | None
) -> None:
    """Make a tenant. Its id is lower case letters, digits and hyphens. `kat keys create` makes its first key."""
    body = {"id": tenant, "name": name or tenant, **merge_patch(given)}
    with metering(url, token) as client:
        made = checked(client.post("/v1/tenants", json=body)).json()
    _show([made], form)


@tenants.command()
@click.argument("tenant")
@click.option("--name", help="Its name on statements.")
@_tenant_options
@format_option
@connection
def change(*, tenant: str, form: str, url: str | None, token: str | None, **given: str | None) -> None:
    """Change a tenant; what is not named stays. Predictors hear of it within seconds."""
    with metering(url, token) as client:
        changed = checked(client.patch(f"/v1/tenants/{tenant}", json=merge_patch(given))).json()
    _show([changed], form)


@tenants.command("list")
@format_option
@connection
def list_tenants(*, form: str, url: str | None, token: str | None) -> None:
    """Show every tenant, and where it stands in its budget."""
    with metering(url, token) as client:
        found = get_all(client, "/v1/tenants", "tenants")["tenants"]
    _show(found, form)


@tenants.command("show")
@click.argument("tenant")
@format_option
@connection
def show_tenant(*, tenant: str, form: str, url: str | None, token: str | None) -> None:
    """Show one tenant."""
    with metering(url, token) as client:
        found = get(client, f"/v1/tenants/{tenant}", {})
    _show([found], form)


def _show(found: list[dict[str, Any]], form: str) -> None:
    show({"tenants": found}, form, found, _table)


def _table(answer: Mapping[str, Any]) -> RenderableType:
    table = plain_table("id", "name", "mode", "think tokens", "limits", "weight", "budget", numbers=("think tokens",))
    for each in answer["tenants"]:
        think = "" if each["max_think_tokens"] is None else f"{each['max_think_tokens']:,}"
        cells = (each["id"], each["name"], each["mode_policy"], think, limits_told(each), each["weight"])
        # As texts: what others wrote is no markup of ours.
        table.add_row(*map(Text, (*cells, budget_told(each))))
    return table
