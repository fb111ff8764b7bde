"""The options that tenants and keys share: limits and a budget, and how they become a JSON merge patch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import click

from kat_metering.cli_tables import amount

LIMITS: Final = ("requests_per_minute", "tokens_per_minute", "concurrency")

_NONE: Final = "none"

Command = TypeVar("Command", bound=Callable[..., Any])


def limit_options(command: Command) -> Command:
    """Limits on one replica, and a budget of the calendar month (UTC)."""
    for option in (
        click.option("--think-off-at", help="Share of the budget past which `auto` becomes think-off: 0 to 1."),
        click.option("--monthly-budget", help="In metering's currency; `none` takes it away."),
        click.option("--concurrency", help="Requests at once on a replica; `none` for no limit."),
        click.option("--tokens-per-minute", help="On a replica; `none` for no limit."),
        click.option("--requests-per-minute", help="On a replica; `none` for no limit."),
    ):
        command = option(command)
    return command


def merge_patch(given: Mapping[str, str | None]) -> dict[str, Any]:
    """What was given, as the API takes it (RFC 7396): options left out are left out, `none` is null.

    Limits become an object of their own. Whether a value can be is for metering to say.
    """
    patch: dict[str, Any] = {}
    for name, text in given.items():
        if text is None:
            continue
        value = None if text == _NONE else text
        if name in LIMITS:
            patch.setdefault("limits", {})[name] = value
        else:
            patch[name] = value
    return patch


def limits_told(row: Mapping[str, Any]) -> str:
    """The limits of a tenant or key on one line: `60 requests/min, 4 at once`."""
    limits = row["limits"]
    units = {
        "requests_per_minute": "requests/min",
        "tokens_per_minute": "tokens/min",
        "concurrency": "at once",
    }
    return ", ".join(f"{limits[name]:,} {unit}" for name, unit in units.items() if limits[name] is not None)


def budget_told(row: Mapping[str, Any]) -> str:
    """Where a tenant or key stands this month: `12.50 of 50.00 USD`, and what that leads to."""
    budget = row["budget"]
    if budget is None:
        return ""
    told = f"{amount(budget['spent'])} of {amount(budget['monthly'])} {budget['currency']}"
    return told if budget["state"] == "ok" else f"{told} ({budget['state'].replace('_', '-')})"
