"""`kat gpu-cost import` and `kat usage gpu-cost`: GPU time of replicas, and what it cost by tenant."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import IO, Any, Final

import click
from rich.console import Group, RenderableType
from rich.text import Text

from kat_metering.cli_client import checked, connection, get, metering
from kat_metering.cli_output import format_option, show
from kat_metering.cli_price_tables import plain_table
from kat_metering.cli_tables import amount

_COLUMNS: Final = ("source", "hour", "gpus", "seconds", "gpu_hour_price")
_NEEDED: Final = {"source", "hour", "gpus"}
_SENT_AT_ONCE: Final = 1_000


@click.group("gpu-cost")
def gpu_cost() -> None:
    """Record the GPU time of replicas. `kat usage gpu-cost` shows what it cost by tenant."""


@gpu_cost.command("import")
@click.argument("file", type=click.File("r", encoding="utf-8-sig"))
@connection
def import_hours(*, file: IO[str], url: str | None, token: str | None) -> None:
    """Record replica hours of a CSV file (- is standard input), a thousand at a time.

    Columns: source (the predictor instance, as its usage names it), hour (2026-11-24T12:00:00Z), gpus, and where they
    differ from a whole hour at the configured price: seconds, gpu_hour_price.
    """
    rows = _rows(file)
    recorded = 0
    with metering(url, token) as client:
        while batch := list(islice(rows, _SENT_AT_ONCE)):
            recorded += checked(client.post("/v1/gpu-cost/replica-hours", json=batch)).json()["replica_hours"]
    click.echo(f"{recorded} replica hours recorded")


def _rows(file: Iterable[str]) -> Iterator[dict[str, str]]:
    reader = csv.DictReader(file)
    columns = set(reader.fieldnames or ())
    if not columns >= _NEEDED or columns - set(_COLUMNS):
        raise click.ClickException(f"the first line must name columns of {', '.join(_COLUMNS)}; the first three always")
    for row in reader:
        # Cells that are missing or empty take their defaults.
        yield {name: row[name] for name in _COLUMNS if row.get(name)}


@click.command("gpu-cost")
@click.option("--from", "start", help="Date, or time on a whole hour. Default: the first of this month.")
@click.option("--to", "end", help="Exclusive. Default: the end of this hour.")
@format_option
@connection
def gpu_cost_report(*, start: str | None, end: str | None, form: str, url: str | None, token: str | None) -> None:
    """Show what the GPUs cost by tenant, with idle time as a line of its own."""
    with metering(url, token) as client:
        report = get(client, "/v1/gpu-cost", {"from": start, "to": end})
    show(report, form, _lines(report), _table)


def _lines(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        *({"line": "tenant", **row} for row in report["rows"]),
        {"line": "idle", "tenant": None, **report["idle"]},
        {"line": "total", "tenant": None, **report["total"]},
    ]


def _table(report: Mapping[str, Any]) -> RenderableType:
    numbers = ("GPU-hours", report["currency"], "share")
    table = plain_table("tenant", *numbers, numbers=numbers)
    for line in _lines(report):
        share = line["share"]
        table.add_row(
            line["tenant"] or f"({line['line']})",
            f"{float(line['gpu_seconds']) / 3600:,.2f}",
            amount(line["cost"]),
            "" if share is None else f"{share:.1%}",
            style="bold" if line["line"] == "total" else None,
        )
    notes = [f"{report['from'][:16]}Z to {report['to'][:16]}Z, {report['replica_hours']:,} replica hours."]
    if float(report["unplaced_engine_seconds"]):
        notes.append(
            f"{float(report['unplaced_engine_seconds']):,.1f} s of work are in no row: no GPU time is recorded for them."
        )
    notes += [f"Assumed: {each}" for each in report["assumptions"]]
    return Group(table, *(Text(f"- {note}", style="dim") for note in notes))
