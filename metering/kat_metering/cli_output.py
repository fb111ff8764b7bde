"""What the commands print: a table for people, JSON or CSV for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import RenderableType

from kat_metering import cli_tables

format_option = click.option(
    "--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True
)


def show(
    answer: Mapping[str, Any],
    form: str,
    rows: list[dict[str, Any]],
    table: Callable[[Mapping[str, Any]], RenderableType],
) -> None:
    """Print an answer of metering in the format asked for; `rows` are what CSV has of it."""
    if form == "json":
        click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    elif form == "csv":
        click.echo(cli_tables.csv_text(rows), nl=False)
    else:
        cli_tables.print_table(table(answer))


def write(content: bytes, output: Path | None) -> None:
    """To a file, which is complete or not there, or to standard output."""
    if output is None:
        sys.stdout.buffer.write(content)
        return
    part = output.with_name(f"{output.name}.part")
    try:
        part.write_bytes(content)
        part.replace(output)
    except OSError as error:
        raise click.ClickException(f"cannot write {output}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
