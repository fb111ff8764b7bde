"""How the commands reach metering: where it is, with which credentials, and what its errors look like on one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import click
import httpx
from pydantic import SecretStr, ValidationError

from kat.home import Credentials, credentials_path, load_credentials

_TIMEOUT: Final = httpx.Timeout(60, connect=5)
_EXPORT_TIMEOUT: Final = httpx.Timeout(None, connect=5)
"""An export is written to the end before its first byte comes."""


_PAGE: Final = "500"
"""The most that metering gives at a time."""

Command = TypeVar("Command", bound=Callable[..., Any])


def connection(command: Command) -> Command:
    """The options --url and --token of a command that calls metering."""
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


@contextmanager
def metering(url: str | None, token: str | None) -> Iterator[httpx.Client]:
    """A client of metering: the one given, else the platform of this machine. Its failures become ClickExceptions."""
    base, secret = _where(url, token)
    headers = {"Authorization": f"Bearer {secret.get_secret_value()}"}
    try:
        with httpx.Client(base_url=base, headers=headers, timeout=_TIMEOUT) as client:
            yield client
    except httpx.TimeoutException as error:
        raise click.ClickException(f"metering at {base} took too long to answer") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise click.ClickException(f"no answer from metering at {base}: {error}") from error


def get(client: httpx.Client, path: str, params: dict[str, str | None]) -> Any:
    """The JSON of a GET; parameters that are None are left out."""
    return checked(client.get(path, params={name: value for name, value in params.items() if value is not None})).json()


def get_all(client: httpx.Client, path: str, name: str, params: dict[str, str | None] | None = None) -> Any:
    """The JSON of a list that comes page by page, as if it came at once; `name` is that of the list in it."""
    whole = get(client, path, {**(params or {}), "limit": _PAGE})
    following = whole.pop("next")
    while following is not None:
        page = get(client, path, {**(params or {}), "limit": _PAGE, "after": str(following)})
        whole[name] += page[name]
        following = page["next"]
    return whole


@contextmanager
def streamed(client: httpx.Client, path: str, params: dict[str, str]) -> Iterator[httpx.Response]:
    # Not compressed on the way, so that its length is known before its last byte.
    as_it_is = {"Accept-Encoding": "identity"}
    with client.stream("GET", path, params=params, headers=as_it_is, timeout=_EXPORT_TIMEOUT) as response:
        if response.is_error:
            response.read()
        yield checked(response)


def checked(response: httpx.Response) -> httpx.Response:
    """The response, unless it is an error: then a ClickException with metering's own words."""
    if not response.is_error:
        return response
    try:
        problem = response.json()
        said = str(problem.get("detail") or problem["title"])
        details = [f"{each['field']}: {each['message']}" for each in problem.get("errors") or []]
    except (ValueError, KeyError, TypeError, AttributeError):
        said, details = response.reason_phrase, []
    raise click.ClickException("; ".join([f"{said} ({response.status_code})", *details]))


def _where(url: str | None, token: str | None) -> tuple[str, SecretStr]:
    if url is not None and token is not None:
        return url, SecretStr(token)
    here = _of_this_machine()
    if url is not None and (here is None or here.metering_url != url):
        # The token of this machine's platform is nobody else's business.
        raise click.ClickException("KAT_METERING_URL is set: set KAT_ADMIN_TOKEN or KAT_API_KEY too")
    if here is None:
        raise click.ClickException("no platform here: run `kat up`, or set KAT_METERING_URL and KAT_ADMIN_TOKEN")
    return here.metering_url, here.admin_token if token is None else SecretStr(token)


def _of_this_machine() -> Credentials | None:
    try:
        return load_credentials()
    except (ValidationError, OSError) as error:
        raise click.ClickException(f"{credentials_path()} cannot be read; remove it and run `kat up`") from error
