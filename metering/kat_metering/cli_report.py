"""`kat report`: the dashboards on one static page, for who has no Grafana."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Final

import click
import httpx
from pydantic import SecretStr, ValidationError

from kat.home import load_credentials
from kat_metering.boards.definitions import boards
from kat_metering.boards.filling import Sources, filled
from kat_metering.boards.page import Origin, page
from kat_metering.boards.postgres import Postgres
from kat_metering.boards.prometheus import Prometheus
from kat_metering.boards.window import Window
from kat_metering.cli_output import write
from kat_metering.errors import MeteringError
from kat_metering.settings import StoreSettings

_SECONDS: Final = 60
"""For one query of Prometheus."""
_A_DAY: Final = timedelta(days=1)


class _Unreachable(click.ClickException):
    exit_code: ClassVar[int] = 2


def _several(name: str, help_text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(f"--{name}", f"{name}s", multiple=True, metavar="NAME", help=f"{help_text} May be repeated.")


@click.command(short_help="Draw the dashboards on one page of HTML.")
@click.option(
    "--html",
    "output",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    required=True,
    help="The file to write; - is standard output.",
)
@click.option("--prometheus", "prometheus_url", metavar="URL", help="Such as http://prometheus.monitoring:9090.")
@click.option(
    "--database",
    "database_url",
    metavar="URL",
    help="Metering's Postgres, as a user that may read it. [default: KAT_DATABASE_URL, or that of `kat up` here]",
)
@click.option("--hours", type=click.FloatRange(min=0, min_open=True), default=24, show_default=True)
@click.option(
    "--days",
    type=click.FloatRange(min=0, min_open=True),
    default=30,
    show_default=True,
    help="Of the dashboard that tells of days: Tenants and savings.",
)
@_several("namespace", "Series of this namespace alone.")
@_several("model", "Of this model alone.")
@_several("tenant", "Costs of this tenant alone; Prometheus knows of no tenants.")
@click.option("--baseline", metavar="NAME", help="What savings are against. [default: the first that metering has]")
@click.option(
    "--scrape-interval",
    type=click.FloatRange(min=0, min_open=True),
    default=15,
    show_default=True,
    help="Seconds between two scrapes of that Prometheus.",
)
def report(
    *,
    output: Path,
    prometheus_url: str | None,
    database_url: str | None,
    hours: float,
    days: float,
    scrape_interval: float,
    **asked: Any,
) -> None:
    """Draw the panels of all dashboards, with what Prometheus and Postgres hold, on one page that needs nothing else.

    Without --prometheus, or without a database, the panels that need it say so. A source that does not answer ends the
    command with exit code 2, and no file is written.
    """
    chosen = _chosen(**asked)
    now = datetime.now(UTC)
    try:
        with _sources(prometheus_url, database_url) as sources:
            made = [
                filled(
                    board,
                    sources,
                    chosen,
                    Window.until(
                        now,
                        timedelta(days=days) if board.since >= _A_DAY else timedelta(hours=hours),
                        scrape_interval=timedelta(seconds=scrape_interval),
                    ),
                )
                for board in boards()
            ]
    except MeteringError as error:
        raise _Unreachable(error.detail) from error
    origin = Origin(
        made_at=now,
        prometheus=None if sources.prometheus is None else sources.prometheus.address,
        postgres=sources.postgres is not None,
        chosen=chosen,
    )
    write(page(made, origin).encode(), None if str(output) == "-" else output)


def _chosen(
    *, namespaces: Sequence[str], models: Sequence[str], tenants: Sequence[str], baseline: str | None
) -> Mapping[str, Sequence[str]]:
    return {
        "namespace": namespaces,
        "model": models,
        "tenant": tenants,
        "baseline": [baseline] if baseline is not None else [],
    }


@contextmanager
def _sources(prometheus_url: str | None, database_url: str | None) -> Iterator[Sources]:
    """Raises UsageError where there is neither a Prometheus nor a database to ask."""
    sources = Sources()
    with ExitStack() as opened:
        if prometheus_url is not None:
            sources.prometheus = Prometheus(opened.enter_context(_client(prometheus_url)))
        settings = _store(database_url)
        if settings is not None:
            sources.postgres = opened.enter_context(Postgres.open(settings))
        if sources.prometheus is None and sources.postgres is None:
            raise click.UsageError("name a --prometheus, a --database, or both")
        yield sources


def _client(url: str) -> httpx.Client:
    try:
        base = httpx.URL(url)
    except httpx.InvalidURL:
        base = httpx.URL()
    if base.scheme not in {"http", "https"} or not base.host:
        # What it is, is not repeated: it may hold a password.
        raise click.UsageError("--prometheus is no URL such as http://prometheus.monitoring:9090")
    return httpx.Client(base_url=base, timeout=_SECONDS)


def _store(database_url: str | None) -> StoreSettings | None:
    """Settings for the database that was named, or for that of this machine's platform; None where there is neither."""
    try:
        settings = StoreSettings()
    except ValidationError as error:
        problems = (f"KAT_{'_'.join(map(str, each['loc'])).upper()}: {each['msg']}" for each in error.errors())
        raise click.ClickException("; ".join(problems)) from None
    if database_url is not None:
        return settings.model_copy(update={"database_url": SecretStr(database_url)})
    if settings.database_url is None and load_credentials() is None:
        # Without this, an empty server of this machine's own would be made just to be asked.
        return None
    return settings
