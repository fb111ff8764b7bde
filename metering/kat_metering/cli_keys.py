"""`kat keys`: what a tenant's applications ask with."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import click
from rich.console import RenderableType
from rich.text import Text

from kat_metering.cli_client import checked, connection, get_all, metering
from kat_metering.cli_limits import budget_told, limit_options, limits_told, merge_patch
from kat_metering.cli_output import format_option, show
from kat_metering.cli_price_tables import plain_table

_KEPT = ("project", "name", "expires_at", "limits", "monthly_budget", "think_off_at")
"""What a key that takes another's place has of it."""


@click.group()
def keys() -> None:
    """Issue and revoke API keys, and set limits and budgets of their own. For administrators."""


@keys.command()
@click.argument("tenant")
@click.option("--project", help="What its usage is listed under. Default: default.")
@click.option("--name", help="To tell it from others.")
@click.option("--expires-at", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S%z"]), help="A date is midnight, UTC.")
@limit_options
@connection
def create(
    *, tenant: str, expires_at: datetime | None, url: str | None, token: str | None, **given: str | None
) -> None:
    """Issue a key. Prints its id and the key, which is shown this once."""
    body = merge_patch(given)
    if expires_at is not None:
        body["expires_at"] = expires_at.isoformat() if expires_at.tzinfo else f"{expires_at.isoformat()}Z"
    with metering(url, token) as client:
        made = checked(client.post(f"/v1/tenants/{tenant}/keys", json=body)).json()
    click.echo(f"{made['id']}\n{made['key']}")


@keys.command("list")
@click.argument("tenant")
@format_option
@connection
def list_keys(*, tenant: str, form: str, url: str | None, token: str | None) -> None:
    """Show the keys that a tenant ever had, revoked ones included, oldest first; of each key its first characters."""
    with metering(url, token) as client:
        found = get_all(client, f"/v1/tenants/{tenant}/keys", "keys")["keys"]
    _show(found, form)


@keys.command()
@click.argument("key", type=click.UUID)
@click.option("--name", help="To tell it from others.")
@limit_options
@format_option
@connection
def change(*, key: UUID, form: str, url: str | None, token: str | None, **given: str | None) -> None:
    """Change limits and budget of a key; what is not named stays. The tenant's hold as well."""
    with metering(url, token) as client:
        changed = checked(client.patch(f"/v1/keys/{key}", json=merge_patch(given))).json()
    _show([changed], form)


@keys.command()
@click.argument("key", type=click.UUID)
@connection
def revoke(*, key: UUID, url: str | None, token: str | None) -> None:
    """Let nobody ask with a key any more. Predictors hear of it within seconds."""
    with metering(url, token) as client:
        checked(client.delete(f"/v1/keys/{key}"))
    click.echo("Revoked.")


@keys.command()
@click.argument("tenant")
@click.argument("key", type=click.UUID)
@click.option("--keep-old", is_flag=True, help="Leave the old key as it is, until `kat keys revoke`.")
@connection
def rotate(*, tenant: str, key: UUID, keep_old: bool, url: str | None, token: str | None) -> None:
    """Issue a key with the settings of another, and revoke that. Prints the new id and key, shown this once."""
    with metering(url, token) as client:
        found = get_all(client, f"/v1/tenants/{tenant}/keys", "keys")["keys"]
        old = next((each for each in found if each["id"] == str(key)), None)
        if old is None:
            raise click.ClickException(f"{tenant} has no key {key}")
        if old["revoked_at"] is not None:
            raise click.ClickException(f"{key} is revoked; `kat keys create` makes a new one")
        body = {name: old[name] for name in _KEPT}
        made = checked(client.post(f"/v1/tenants/{tenant}/keys", json=body)).json()
        # Before the old one goes: whatever fails from here on, somebody has a key that works.
        click.echo(f"{made['id']}\n{made['key']}")
        if not keep_old:
            checked(client.delete(f"/v1/keys/{key}"))


def _show(found: list[dict[str, Any]], form: str) -> None:
    show({"keys": found}, form, found, _table)


def _table(answer: Mapping[str, Any]) -> RenderableType:
    table = plain_table("id", "key", "project", "name", "limits", "budget", "made", "ends")
    for each in answer["keys"]:
        ends = f"revoked {each['revoked_at'][:10]}" if each["revoked_at"] else (each["expires_at"] or "")[:10]
        cells = (each["id"], f"{each['prefix']}…", each["project"], each["name"], limits_told(each), budget_told(each))
        table.add_row(*map(Text, (*cells, each["created_at"][:10], ends)))
    return table
