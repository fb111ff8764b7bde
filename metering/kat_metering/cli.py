"""`kat metering`: run the service, migrate its database, build the roll-up again."""

from __future__ import annotations

import gc
import signal
from pathlib import Path
from types import FrameType
from typing import NoReturn, TypeVar

import click
import uvicorn
from pydantic import ValidationError

from kat.logs import configure_logs
from kat_metering.cli_retention import retire
from kat_metering.errors import MeteringError
from kat_metering.main import create_app, open_store
from kat_metering.rollup import rebuild as rebuild_rollup
from kat_metering.settings import Settings, StoreSettings
from kat_metering.store.schema import upgrade_schema

_GRACE_SECONDS = 10
_AnySettings = TypeVar("_AnySettings", bound=StoreSettings)


def _load(kind: type[_AnySettings]) -> _AnySettings:
    try:
        return kind()
    except ValidationError as error:
        problems = (f"KAT_{'_'.join(str(p) for p in e['loc']).upper()}: {e['msg']}" for e in error.errors())
        raise click.ClickException("; ".join(problems)) from None


def _leave(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


@click.group()
def metering() -> None:
    """Keep each tenant's usage, and tell what it cost and saved."""
    configure_logs(quiet=["alembic"])


@metering.command()
def serve() -> None:
    """Run the service. Its settings are environment variables, KAT_ADMIN_TOKEN and KAT_SERVICE_TOKEN above all."""
    settings = _load(Settings)
    for stop in (signal.SIGTERM, signal.SIGINT):
        # uvicorn stops in order, then raises the signal once more: being told to stop is no failure.
        signal.signal(stop, _leave)
    app = create_app(settings)
    # What the start made stays. Looked through again and again, it would cost a third of the time of reading events.
    gc.freeze()
    uvicorn.run(
        app,
        host=settings.metering_host,
        port=settings.metering_port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


@metering.command()
def migrate() -> None:
    """Bring the database's schema to this version."""
    settings = _load(StoreSettings)
    try:
        with open_store(settings, join=True) as engine:
            upgrade_schema(engine)
    except MeteringError as error:
        raise click.ClickException(error.detail) from error
    click.echo("The schema is up to date.")


@metering.command()
def rebuild() -> None:
    """Compute the hourly roll-up again from the usage events. The service may go on running."""
    settings = _load(StoreSettings)
    try:
        with open_store(settings, join=True) as engine:
            state = rebuild_rollup(engine)
    except MeteringError as error:
        raise click.ClickException(error.detail) from error
    click.echo(f"The roll-up is rebuilt; it holds what was acknowledged before {state.as_of.isoformat()}.")


@metering.command()
@click.option("--keep-months", type=click.IntRange(min=1), required=True, help="Months to keep before this one.")
@click.option(
    "--into",
    "folder",
    type=click.Path(exists=True, file_okay=False, writable=True, path_type=Path),
    help="Where to write the Parquet files. Without it nothing is changed.",
)
def retention(keep_months: int, folder: Path | None) -> None:
    """Move old months out of the database. Without --into it only says which, and what they hold.

    A month is detached, written to a Parquet file, and dropped once the file has been read back and its rows and
    tokens are those of the roll-up. From then on its events are rejected; reports by the hour still show it.
    """
    settings = _load(StoreSettings)
    try:
        with open_store(settings, join=True) as engine:
            retire(engine, keep_months=keep_months, folder=folder)
    except MeteringError as error:
        raise click.ClickException(error.detail) from error
