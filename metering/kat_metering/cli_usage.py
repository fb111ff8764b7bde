"""`kat usage`, `kat savings`, `kat export` and `kat prices`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import IO, Any, TypeVar

import click
from pydantic import ValidationError
from rich.console import RenderableType

from kat_metering import cli_tables
from kat_metering.cli_client import checked, get, metering, streamed
from kat_metering.defaults import article
from kat_metering.estimate import Overrides, UnknownTaskError, estimate_for_task
from kat_metering.exports.formats import ExportFormat
from kat_metering.methods import Method

Command = TypeVar("Command", bound=Callable[..., Any])

# By value: click would take an enum by the names of its members.
_EXPORT_FORMATS = [each.value for each in ExportFormat]
_METHODS = [each.value for each in Method]

_format = click.option(
    "--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True
)


def _figure(text: str) -> Decimal:
    """A number, exactly: 1000000, 1e6 or 2.5."""
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise click.BadParameter(f"{text!r} is not a number") from error


def _connection(command: Command) -> Command:
    url = click.option(
        "--url", envvar="KAT_METERING_URL", show_envvar=True, help="Metering's address. Default: what `kat up` started."
    )
    token = click.option(
        "--token",
        envvar=["KAT_ADMIN_TOKEN", "KAT_API_KEY"],
        show_envvar=True,
        help="An administrator's token, or an API key, which sees its own tenant.",
    )
    return url(token(command))


def _report(command: Command) -> Command:
    options = (
        click.option("--tenant", help="Default: every tenant that the token may see."),
        click.option("--from", "start", help="Date, or time on a whole hour. Default: the first of this month."),
        click.option("--to", "end", help="Exclusive. Default: the end of this hour."),
        click.option(
            "--group-by",
            default="tenant,model,mode",
            show_default=True,
            help="Some of tenant,day,mode,mode_source,model,project,key,task,status.",
        ),
        _format,
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@_report
@_connection
def usage(
    *,
    tenant: str | None,
    start: str | None,
    end: str | None,
    group_by: str,
    form: str,
    url: str | None,
    token: str | None,
) -> None:
    """Show requests, tokens by segment and cost."""
    params = {"tenant": tenant, "from": start, "to": end, "group_by": group_by}
    with metering(url, token) as client:
        report = get(client, "/v1/usage", params)
    _show(report, form, report["rows"], cli_tables.usage_table)


@click.group(invoke_without_command=True)
@_report
@click.option("--method", type=click.Choice(_METHODS), help="L1: equal tokens. L2 (default): token ratios.")
@click.option("--baseline", help="What to compare with. Default: kat-v1-200b.")
@_connection
@click.pass_context
def savings(
    context: click.Context,
    *,
    tenant: str | None,
    start: str | None,
    end: str | None,
    group_by: str,
    form: str,
    method: str | None,
    baseline: str | None,
    url: str | None,
    token: str | None,
) -> None:
    """Show what was saved against a baseline, by which method, and what the figures rest on."""
    if context.invoked_subcommand is not None:
        return
    params = {"tenant": tenant, "from": start, "to": end, "group_by": group_by}
    with metering(url, token) as client:
        report = get(client, "/v1/savings", {**params, "method": method, "baseline": baseline})
    _show(report, form, report["rows"], cli_tables.savings_table)


@savings.command()
@click.option("--task", default="humaneval", show_default=True, help="aime2024, livecodebench or humaneval.")
@click.option("--calls", type=_figure, metavar="NUMBER", help="Number of calls, such as 1e6.")
@click.option("--tokens-ours", type=_figure, metavar="NUMBER", help="Completion tokens of one call of ours.")
@click.option(
    "--tokens-baseline", type=_figure, metavar="NUMBER", help="Completion tokens of one call of the baseline."
)
@click.option("--gpu-hour-price", type=_figure, metavar="NUMBER", help="Price of one GPU-hour.")
@click.option(
    "--tokens-per-gpu-second", type=_figure, metavar="NUMBER", help="Tokens that one GPU generates in a second."
)
@_format
def estimate(*, task: str, form: str, **figures: Decimal | None) -> None:
    """Show what a number of calls would save by the cited figures of the introduction article, step by step.

    Every figure can be replaced. Needs no running platform: nothing here is measured.
    """
    try:
        overrides = Overrides.model_validate(figures)
        report = estimate_for_task(article(), task, overrides)
    except UnknownTaskError as error:
        raise click.BadParameter(str(error), param_hint="--task") from error
    except ValidationError as error:
        detail = error.errors()[0]
        raise click.BadParameter(detail["msg"], param_hint=f"--{detail['loc'][0]}".replace("_", "-")) from error
    wire = report.model_dump(mode="json")
    _show(wire, form, [*wire["inputs"], *wire["steps"]], cli_tables.estimate_table)


@click.command()
@click.option("--tenant", help="Whose usage; an API key exports its own tenant's.")
@click.option("--month", help="YYYY-MM, in UTC. Default: this month.")
@click.option("--format", "form", type=click.Choice(_EXPORT_FORMATS), default="csv", show_default=True)
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="Default: standard output.")
@_connection
def export(
    *, tenant: str | None, month: str | None, form: str, output: Path | None, url: str | None, token: str | None
) -> None:
    """Export a tenant's month, one row for each request."""
    params = {"month": month or f"{datetime.now(UTC):%Y-%m}", "format": form} | (
        {} if tenant is None else {"tenant": tenant}
    )
    with metering(url, token) as client, streamed(client, "/v1/exports/usage", params) as response:
        if output is None:
            _copy(response.iter_bytes(), sys.stdout.buffer)
            return
        part = output.with_name(f"{output.name}.part")
        try:
            with part.open("wb") as file:
                _copy(response.iter_bytes(), file)
            # Only a complete export gets the name that was asked for.
            part.replace(output)
        except OSError as error:
            raise click.ClickException(f"cannot write {output}: {error.strerror}") from error
        finally:
            part.unlink(missing_ok=True)


@click.group()
def prices() -> None:
    """Show and change the price book."""


@prices.command("list")
@_format
@_connection
def list_prices(*, form: str, url: str | None, token: str | None) -> None:
    """Show every price with its source."""
    with metering(url, token) as client:
        book = get(client, "/v1/prices", {})
    _show(book, form, book["prices"], cli_tables.price_table)


@prices.command("import")
@click.argument("file", type=click.File("rb"))
@_connection
def import_prices(*, file: IO[bytes], url: str | None, token: str | None) -> None:
    """Add the prices of a YAML or JSON file (- is standard input); all of them, or none.

    An open price ends where a new one for the same model, segment and mode begins.
    """
    # Standard input need not have a name; JSON is read as YAML just as well.
    kind = "application/json" if str(getattr(file, "name", "")).endswith(".json") else "application/yaml"
    with metering(url, token) as client:
        done = checked(client.post("/v1/prices", content=file.read(), headers={"Content-Type": kind})).json()
    click.echo(f"{done['added']} added, {done['ended']} ended, {done['unchanged']} unchanged")
    for warning in done["warnings"]:
        click.echo(f"warning: {warning}", err=True)


def _show(
    answer: Mapping[str, Any],
    form: str,
    rows: list[dict[str, Any]],
    table: Callable[[Mapping[str, Any]], RenderableType],
) -> None:
    if form == "json":
        click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    elif form == "csv":
        click.echo(cli_tables.csv_text(rows), nl=False)
    else:
        cli_tables.print_table(table(answer))


def _copy(pieces: Any, file: IO[bytes]) -> None:
    for piece in pieces:
        file.write(piece)
