"""`kat prices`: the price book, its versions, re-rating, discounts."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import IO, Any

import click
import httpx

from kat_metering import cli_tables
from kat_metering.cli_client import checked, connection, get, get_all, metering
from kat_metering.cli_output import format_option, show
from kat_metering.cli_price_tables import comparison_rows, comparison_table, discount_table, version_table


def percentage(text: str) -> str:
    """A percentage as it was typed: 12.5 or 12.5%."""
    number = text.removesuffix("%").strip()
    try:
        Decimal(number)
    except InvalidOperation as error:
        raise click.BadParameter(f"{text!r} is not a percentage") from error
    return number


@click.group()
def prices() -> None:
    """Show and change the price book."""


@prices.command("list")
@format_option
@connection
def list_prices(*, form: str, url: str | None, token: str | None) -> None:
    """Show every price with its source."""
    with metering(url, token) as client:
        book = get_all(client, "/v1/prices", "prices")
    show(book, form, book["prices"], cli_tables.price_table)


@prices.command("import")
@click.argument("file", type=click.File("rb"))
@connection
def import_prices(*, file: IO[bytes], url: str | None, token: str | None) -> None:
    """Add the prices of a YAML or JSON file (- is standard input); all of them, or none.

    An open price ends where a new one for the same model, segment and mode begins.
    """
    with metering(url, token) as client:
        done = _sent(client, "/v1/prices", file.read(), _type_of(file))
    click.echo(f"{done['added']} added, {done['ended']} ended, {done['unchanged']} unchanged")
    _warn(done)


@prices.command()
@click.argument("file", type=click.File("rb"), required=False)
@click.option("--rerate", is_flag=True, help="What re-rating with FILE would change. Default: importing it.")
@click.option("--from", "before", type=click.IntRange(min=1), metavar="VERSION", help="Compare versions, not a file.")
@click.option("--to", "after", type=click.IntRange(min=1), metavar="VERSION", help="Default: the price book now.")
@format_option
@connection
def diff(
    *,
    file: IO[bytes] | None,
    rerate: bool,
    before: int | None,
    after: int | None,
    form: str,
    url: str | None,
    token: str | None,
) -> None:
    """Show what a price file would change, also in costs so far; or what changed from one version to another."""
    if (file is None) == (before is None) or (file is not None and after is not None):
        raise click.UsageError("give a FILE, or --from VERSION [--to VERSION]")
    with metering(url, token) as client:
        if file is not None:
            path = f"/v1/prices/diff?rerate={str(rerate).lower()}"
            found = _sent(client, path, file.read(), _type_of(file))
        else:
            params = {"from": str(before), "to": None if after is None else str(after)}
            found = get(client, "/v1/prices/diff", params)
    show(found, form, comparison_rows(found), comparison_table)


@prices.command()
@click.argument("file", type=click.File("rb"))
@click.option("--yes", is_flag=True, help="Do it. Without this, only what it would change is shown.")
@format_option
@connection
def rerate(*, file: IO[bytes], yes: bool, form: str, url: str | None, token: str | None) -> None:
    """Put the prices of a file in the place of those in force, past hours included, except in closed months."""
    path = "/v1/prices/rerate" if yes else "/v1/prices/diff?rerate=true"
    with metering(url, token) as client:
        found = _sent(client, path, file.read(), _type_of(file))
    show(found, form, comparison_rows(found), comparison_table)
    if not yes and found["differences"]:
        click.echo("Nothing is changed yet: repeat with --yes.", err=True)


@prices.command()
@format_option
@connection
def versions(*, form: str, url: str | None, token: str | None) -> None:
    """Show when the price book was changed."""
    with metering(url, token) as client:
        found = get_all(client, "/v1/prices/versions", "versions")
    show(found, form, found["versions"], version_table)


@prices.command()
@click.argument("tenant")
@format_option
@connection
def discounts(*, tenant: str, form: str, url: str | None, token: str | None) -> None:
    """Show a tenant's discounts."""
    with metering(url, token) as client:
        found = get_all(client, f"/v1/tenants/{tenant}/discounts", "discounts")
    show(found, form, found["discounts"], discount_table)


@prices.command()
@click.argument("tenant")
@click.argument("percent", type=percentage)
@click.option("--from", "start", required=True, help="Time on a whole hour, such as 2026-12-01T00:00Z.")
@click.option("--to", "end", help="Exclusive. Default: until further notice.")
@click.option("--model", help="Default: every model.")
@click.option("--segment", help="Default: every segment.")
@click.option("--reason", required=True, help="What was agreed, and where that is written down.")
@connection
def discount(
    *,
    tenant: str,
    percent: str,
    start: str,
    end: str | None,
    model: str | None,
    segment: str | None,
    reason: str,
    url: str | None,
    token: str | None,
) -> None:
    """Give a tenant PERCENT off its prices. It ends the open discount of the same model and segment; 0 only does that."""
    entry = {
        "percent": percent,
        "effective_from": start,
        "effective_to": end,
        "model": model,
        "segment": segment,
        "reason": reason,
    }
    with metering(url, token) as client:
        done = checked(client.post(f"/v1/tenants/{tenant}/discounts", json=[entry])).json()
    click.echo(f"{done['added']} added, {done['ended']} ended, {done['unchanged']} unchanged")


def _type_of(file: IO[bytes]) -> str:
    # Standard input need not have a name; JSON is read as YAML just as well.
    return "application/json" if str(getattr(file, "name", "")).endswith(".json") else "application/yaml"


def _sent(client: httpx.Client, path: str, content: bytes, kind: str) -> dict[str, Any]:
    answer: dict[str, Any] = checked(client.post(path, content=content, headers={"Content-Type": kind})).json()
    return answer


def _warn(done: dict[str, Any]) -> None:
    for warning in done["warnings"]:
        click.echo(f"warning: {warning}", err=True)
