"""`kat audit`: who changed what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import click
from rich.console import RenderableType
from rich.text import Text

from kat_metering.cli_client import connection, get, metering
from kat_metering.cli_output import format_option, show
from kat_metering.cli_price_tables import plain_table

_PAGE: Final = 500


@click.command()
@click.option("--tenant", help="Only what concerns this tenant.")
@click.option("--object", "kind", help="Only changes of this: tenant, api_key, price, discount, statement, webhook, …")
@click.option("--actor", help="Only what this one changed, named as the table names it.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Entries, at most.")
@format_option
@connection
def audit(
    *,
    tenant: str | None,
    kind: str | None,
    actor: str | None,
    limit: int,
    form: str,
    url: str | None,
    token: str | None,
) -> None:
    """Show what administrators changed, latest first."""
    found: list[dict[str, Any]] = []
    after: int | None = None
    with metering(url, token) as client:
        while len(found) < limit:
            page = get(
                client,
                "/v1/audit",
                {
                    "tenant": tenant,
                    "object": kind,
                    "actor": actor,
                    "limit": str(min(_PAGE, limit - len(found))),
                    "after": None if after is None else str(after),
                },
            )
            found += page["entries"]
            after = page["next"]
            if after is None:
                break
    show({"entries": found}, form, [_flat(entry) for entry in found], _table)


def changes(entry: Mapping[str, Any]) -> str:
    """What an entry changed, as `field: old → new`; of what was made or deleted, the fields that were set."""
    before, after = entry["before"], entry["after"]
    if before is None or after is None:
        return ", ".join(
            f"{name}: {_value(value)}" for name, value in (before or after or {}).items() if value is not None
        )
    told = [
        f"{name}: {_value(before.get(name))} → {_value(after.get(name))}"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]
    # Something did change: what is kept out of the audit.
    return ", ".join(told) or "(a secret)"


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _flat(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value
        for name, value in entry.items()
    }


def _table(answer: Mapping[str, Any]) -> RenderableType:
    table = plain_table("at", "actor", "action", "what", "changes")
    for entry in answer["entries"]:
        what = f"{entry['object']} {entry['object_id']}"
        # As texts: what others wrote is no markup of ours.
        table.add_row(*map(Text, (entry["at"][:19], entry["actor"], entry["action"], what, changes(entry))))
    return table
