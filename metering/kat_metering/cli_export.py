"""`kat export`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click
import httpx

from kat_metering.cli_client import connection, metering, streamed
from kat_metering.exports.destinations import DestinationError, Source, destination
from kat_metering.exports.formats import ExportFormat
from kat_metering.methods import Method


@click.command()
@click.option("--tenant", help="Whose usage; an API key exports its own tenant's. In FOCUS, default: every tenant's.")
@click.option("--month", help="YYYY-MM, in UTC. Default: this month.")
@click.option(
    "--format",
    "form",
    # By value: click would take an enum by the names of its members.
    type=click.Choice([each.value for each in ExportFormat]),
    default=ExportFormat.CSV.value,
    show_default=True,
)
@click.option("--baseline", help="FOCUS: what the savings columns compare with, or none. Default: kat-v1-200b.")
@click.option(
    "--method", type=click.Choice([each.value for each in Method]), help="FOCUS: of the savings. Default: L2."
)
@click.option(
    "--output",
    "--to",
    "-o",
    "to",
    help="A file, https://… or s3://bucket/key. Default: standard output.",
    metavar="WHERE",
)
@click.option(
    "--http-method",
    type=click.Choice(["PUT", "POST"]),
    default="PUT",
    show_default=True,
    help="For http:// and https://.",
)
@click.option(
    "--to-token",
    envvar="KAT_EXPORT_TOKEN",
    show_envvar=True,
    help="Bearer token of an HTTP destination; none if signed.",
)
@click.option(
    "--s3-endpoint",
    envvar=["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"],
    show_envvar=True,
    help="S3-compatible storage other than Amazon's. Credentials: the usual AWS variables and files.",
)
@click.option("--s3-region", envvar=["AWS_REGION", "AWS_DEFAULT_REGION"], show_envvar=True)
@connection
def export(
    *,
    tenant: str | None,
    month: str | None,
    form: str,
    baseline: str | None,
    method: str | None,
    to: str | None,
    http_method: Any,
    to_token: str | None,
    s3_endpoint: str | None,
    s3_region: str | None,
    url: str | None,
    token: str | None,
) -> None:
    """Export a month: a row for each request, or in FOCUS 1.2 one for each tenant, project, key, SKU, mode and hour."""
    given = {"tenant": tenant, "baseline": baseline, "method": method}
    params = {"month": month or f"{datetime.now(UTC):%Y-%m}", "format": form}
    params |= {name: value for name, value in given.items() if value is not None}
    with _said_plainly():
        s3 = {"s3_endpoint": s3_endpoint, "s3_region": s3_region}
        where = None if to is None else destination(to, method=http_method, token=to_token, **s3)
        with metering(url, token) as client, streamed(client, "/v1/exports/usage", params) as response:
            if where is None:
                for piece in response.iter_bytes():
                    sys.stdout.buffer.write(piece)
            else:
                where.put(_source(response))


@contextmanager
def _said_plainly() -> Iterator[None]:
    try:
        yield
    except DestinationError as error:
        raise click.ClickException(str(error)) from error


def _source(response: httpx.Response) -> Source:
    return Source(
        pieces=response.iter_bytes(),
        size=int(response.headers["content-length"]),
        media_type=response.headers["content-type"],
    )
