"""`kat metering retention`: move old months out of the database, into Parquet files."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click
from sqlalchemy import Engine

from kat_metering.retention import OldMonth, archive, old_months


def retire(engine: Engine, *, keep_months: int, folder: Path | None) -> None:
    """Say which months are to leave and, given a folder, move each into a file there. Raises RetentionError."""
    old = old_months(engine, keep_months=keep_months, now=datetime.now(UTC))
    if not old:
        click.echo(f"Nothing is older than this month and the {keep_months} before it.")
        return
    for each in old:
        if folder is None:
            click.echo(_line(each))
            continue
        done = archive(engine, each, folder)
        click.echo(f"{each.month:%Y-%m}: {done.totals} in {done.file}\n         SHA-256 {done.sha256}")
    if folder is None:
        click.echo("Nothing was changed. Name a folder to move them into: --into FOLDER")


def _line(old: OldMonth) -> str:
    rest = " (detached by a run that was cut off)" if old.detached else ""
    return f"{old.month:%Y-%m}: {old.totals}{rest}"
