"""`kat statements`: draft, close, show, list, verify, adjust."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import httpx
from rich.console import Group, RenderableType
from rich.text import Text

from kat_metering import cli_tables
from kat_metering.cli_client import checked, connection, get, get_all, metering
from kat_metering.cli_output import format_option, show, write
from kat_metering.cli_price_tables import plain_table

_statement_format = click.option(
    "--format", "form", type=click.Choice(["table", "json", "html"]), default="table", show_default=True
)
_output = click.option(
    "--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Default: standard output."
)


@click.group()
def statements() -> None:
    """Show and close what tenants owe for a month."""


@statements.command()
@click.option("--tenant", help="An API key drafts its own tenant's.")
@click.option("--month", help="YYYY-MM, in UTC. Default: this month.")
@_statement_format
@_output
@connection
def draft(
    *, tenant: str | None, month: str | None, form: str, output: Path | None, url: str | None, token: str | None
) -> None:
    """Show what the statement of an open month would say now."""
    with metering(url, token) as client:
        _print(client, "/v1/statements/draft", {"tenant": tenant, "month": month}, form, output)


@statements.command("show")
@click.argument("name")
@_statement_format
@_output
@connection
def show_statement(*, name: str, form: str, output: Path | None, url: str | None, token: str | None) -> None:
    """Show a closed statement, such as KAT-000001. JSON is the document that was hashed, to the byte."""
    with metering(url, token) as client:
        _print(client, f"/v1/statements/{name}", {}, form, output)


@statements.command("list")
@click.option("--tenant", help="Default: every tenant that the token may see.")
@format_option
@connection
def list_statements(*, tenant: str | None, form: str, url: str | None, token: str | None) -> None:
    """Show the closed statements."""
    with metering(url, token) as client:
        found = get_all(client, "/v1/statements", "statements", {"tenant": tenant})
    show(found, form, found["statements"], _list_table)


@statements.command()
@click.option("--month", required=True, help="YYYY-MM, in UTC.")
@click.option("--tenant", "tenants", multiple=True, help="Several may be given. Default: every tenant that is due.")
@click.option(
    "--despite-unpriced", "reason", metavar="REASON", help="Close although some usage has no price, and state why."
)
@connection
def close(*, month: str, tenants: tuple[str, ...], reason: str | None, url: str | None, token: str | None) -> None:
    """Close a month that is over: number it, chain it to the statement before, never change it again."""
    failed = []
    with metering(url, token) as client:
        due = list(tenants) or get_all(client, "/v1/statements/due", "tenants", {"month": month})["tenants"]
        for tenant in due:
            closing = {"tenant": tenant, "month": month, "unpriced_reason": reason}
            try:
                done = checked(client.post("/v1/statements", json=closing)).json()
            except click.ClickException as error:
                # One tenant's missing price must not keep the others' month open.
                failed.append(tenant)
                click.echo(f"{tenant}: {error.message}", err=True)
                continue
            click.echo(f"{done['series']}-{done['number']:06d}  {tenant}  {done['total']} {done['currency']}")
    if failed:
        raise click.ClickException(f"not closed: {', '.join(failed)}")
    if not due:
        click.echo(f"Nobody is due in {month}.")


@statements.command()
@click.argument("name")
@click.option("--credit", required=True, help="What the tenant gets back, in the statement's currency.")
@click.option("--reason", required=True, help="It is printed on the statement that has the credit.")
@connection
def adjust(*, name: str, credit: str, reason: str, url: str | None, token: str | None) -> None:
    """Give money back for a closed statement: a line of the tenant's next one."""
    with metering(url, token) as client:
        answer = client.post(f"/v1/statements/{name}/adjustments", json={"credit": credit, "reason": reason})
        done = checked(answer).json()
    click.echo(f"{done['credit']} {done['currency']} to {done['tenant']} for {done['corrects']}")


@statements.command()
@click.option("--sha256", help="A hash noted down before, which must still occur.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@connection
def verify(*, sha256: str | None, form: str, url: str | None, token: str | None) -> None:
    """Check the chain of hashes, the numbers and the sums of every closed statement. Exit code 1 where one is broken."""
    with metering(url, token) as client:
        found = get(client, "/v1/statements/verification", {"sha256": sha256})
    if form == "json":
        click.echo(json.dumps(found, indent=2))
    else:
        for each in found["findings"]:
            click.echo(f"{each['statement']}: {each['problem']}")
        for each in found["heads"]:
            click.echo(f"{each['last']}, {each['statements']} in its series, SHA-256 {each['sha256']}")
    if not found["intact"]:
        broken = dict.fromkeys(each["statement"] for each in found["findings"])
        raise click.ClickException(f"broken: {', '.join(broken)}")
    if form == "table":
        click.echo(f"{found['statements']} statements, all intact.")


def _print(client: httpx.Client, path: str, params: dict[str, str | None], form: str, output: Path | None) -> None:
    if form == "table":
        if output is not None:
            raise click.UsageError("--output is for --format json and html")
        show(get(client, path, params), form, [], statement_table)
        return
    given = {name: value for name, value in params.items() if value is not None}
    write(checked(client.get(path, params={**given, "format": form})).content, output)


def statement_table(statement: Mapping[str, Any]) -> RenderableType:
    """A statement or a draft, for 100 columns; amounts to every digit."""
    name = f"{statement['series']}-{statement['number']:06d}" if "number" in statement else "Draft"
    title = f"{name}: {statement['tenant_name']}, {statement['month']}, in {statement['currency']}"
    table = plain_table(
        "month", "for", "tokens", "per million", "off", "amount", numbers=("tokens", "per million", "off", "amount")
    )
    for line in statement["lines"]:
        table.add_row(*_LINE_CELLS[line["kind"]](line))
    table.add_section()
    table.add_row("", "total", "", "", "", statement["total"], style="bold")
    notes = [
        Text(f"No price: {each['tokens']:,} tokens of {each['model']} / {each['segment']} / mode {each['mode']}"
             f" in {each['month']}; in no line.", style="yellow")
        for each in statement["unpriced"]
    ]  # fmt: skip
    return Group(Text(title, style="bold"), table, *notes)


def _charge_cells(line: dict[str, Any]) -> tuple[str, ...]:
    what = f"{line['model']} / {line['segment']} / mode {line['mode']}"
    late = " (late)" if line["kind"] == "late_usage" else ""
    off = f"{line['discount_percent']} %" if line["discount_percent"] != "0" else ""
    return line["month"], f"{what}{late}", f"{line['tokens']:,}", line["per_million"], off, line["amount"]


def _other_cells(what: Callable[[dict[str, Any]], str]) -> Callable[[dict[str, Any]], tuple[str, ...]]:
    return lambda line: ("", what(line), "", "", "", line["amount"])


_LINE_CELLS: dict[str, Callable[[dict[str, Any]], tuple[str, ...]]] = {
    "usage": _charge_cells,
    "late_usage": _charge_cells,
    "credit": _other_cells(lambda line: f"credit for {line['corrects']}: {line['reason']}"),
    "carried": _other_cells(lambda line: f"rounding of {line['statement']}, given back"),
    "rounding": _other_cells(lambda _: "rounding"),
}


def _list_table(found: Mapping[str, Any]) -> RenderableType:
    table = plain_table("name", "tenant", "month", "total", "", "closed", "sha256", numbers=("total", "name"))
    for each in found["statements"]:
        closed = f"{each['closed_at'][:10]}"
        total = cli_tables.amount(each["total"])
        table.add_row(each["name"], each["tenant"], each["month"], total, each["currency"], closed, each["sha256"][:12])
    return table
