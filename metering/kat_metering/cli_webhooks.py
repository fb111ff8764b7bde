"""`kat webhooks`: where alerts of budgets go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from rich.console import RenderableType
from rich.text import Text

from kat_metering.cli_client import checked, connection, get, get_all, metering
from kat_metering.cli_output import format_option, show
from kat_metering.cli_price_tables import plain_table


@click.group()
def webhooks() -> None:
    """Tell an address when 50, 80 and 100 % of a tenant's budgets are spent."""


@webhooks.command()
@click.argument("tenant")
@click.argument("address")
@connection
def add(*, tenant: str, address: str, url: str | None, token: str | None) -> None:
    """Send the alerts of a tenant and its keys to an address. The secret is shown this once."""
    with metering(url, token) as client:
        made = checked(client.post(f"/v1/tenants/{tenant}/webhooks", json={"url": address})).json()
    click.echo(f"{made['id']}\n{made['secret']}")


@webhooks.command("list")
@click.argument("tenant")
@format_option
@connection
def list_webhooks(*, tenant: str, form: str, url: str | None, token: str | None) -> None:
    """Show a tenant's webhooks, without their secrets."""
    with metering(url, token) as client:
        answer = get_all(client, f"/v1/tenants/{tenant}/webhooks", "webhooks")
    show(answer, form, answer["webhooks"], _table)


@webhooks.command()
@click.argument("tenant")
@format_option
@connection
def alerts(*, tenant: str, form: str, url: str | None, token: str | None) -> None:
    """Show the latest hundred alerts of a tenant, and whether they were acknowledged."""
    with metering(url, token) as client:
        answer = get(client, f"/v1/tenants/{tenant}/alerts", {})
    show(answer, form, answer["alerts"], _alert_table)


@webhooks.command()
@click.argument("webhook", type=click.UUID)
@connection
def renew(*, webhook: Any, url: str | None, token: str | None) -> None:
    """Sign with a fresh secret from now on, which is shown this once."""
    with metering(url, token) as client:
        click.echo(checked(client.post(f"/v1/webhooks/{webhook}/secret")).json()["secret"])


@webhooks.command()
@click.argument("webhook", type=click.UUID)
@connection
def remove(*, webhook: Any, url: str | None, token: str | None) -> None:
    """Tell an address nothing more, not even what waits to be sent."""
    with metering(url, token) as client:
        checked(client.delete(f"/v1/webhooks/{webhook}"))
    click.echo("Removed.")


def _table(answer: Mapping[str, Any]) -> RenderableType:
    table = plain_table("id", "url", "created_at")
    for each in answer["webhooks"]:
        table.add_row(each["id"], Text(each["url"]), each["created_at"])
    return table


def _alert_table(answer: Mapping[str, Any]) -> RenderableType:
    table = plain_table("raised", "month", "percent", "key", "webhook", "attempts", "acknowledged", "last error")
    for each in answer["alerts"]:
        cells = (
            each["raised_at"][:19],
            each["month"],
            str(each["percent"]),
            each["api_key_id"] or "(tenant)",
            each["webhook"],
            str(each["attempts"]),
            (each["acknowledged_at"] or "no")[:19],
            each["last_error"] or "",
        )
        table.add_row(*map(Text, cells))
    return table
