"""`kat predictor`."""

from __future__ import annotations

import sys

import click

from kat.logs import configure_logs
from kat_predictor.errors import StartupError

QUIET = ("uvicorn.access", "kserve.trace", "httpx")
"""Of requests there are metrics and events; a line for each would cost more than it tells."""


@click.group()
def predictor() -> None:
    """Serve a model: KServe's protocols and OpenAI's API, with auto-think and metering."""


@predictor.command()
def serve() -> None:
    """Serve until SIGTERM or SIGINT. Everything is set by environment variables, KAT_*."""
    # Imported here, because KServe takes seconds to import and `kat --help` should not.
    from kat_predictor.settings import load_settings  # noqa: PLC0415

    configure_logs(quiet=QUIET)
    try:
        settings = load_settings()
        from kat_predictor import server  # noqa: PLC0415

        server.serve(settings)
    except StartupError as error:
        click.echo(f"predictor: {error}", err=True)
        sys.exit(error.exit_code)
