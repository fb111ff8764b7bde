"""`kat operator`."""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import Final

import click

from kat.logs import configure_logs
from kat_operator.errors import StartupError
from kat_operator.settings import load_settings

_QUIET: Final = ("aiohttp.access",)


@click.group()
def operator() -> None:
    """Run AutoThinkServices on Kubernetes: their InferenceServices, and how many replicas each pool has."""


@operator.command()
def run() -> None:
    """Run until SIGTERM or SIGINT. Everything is set by environment variables, KAT_OPERATOR_*."""
    configure_logs(quiet=_QUIET)
    try:
        settings = load_settings()
        # Imported here, because the Kubernetes client takes a second to import and `kat --help` should not.
        from kat_operator.main import run_operator  # noqa: PLC0415

        # What the imports made stays; looking through it again and again costs more than the loop's own work.
        gc.freeze()
        asyncio.run(run_operator(settings))
    except StartupError as error:
        click.echo(f"operator: {error}", err=True)
        sys.exit(error.exit_code)
