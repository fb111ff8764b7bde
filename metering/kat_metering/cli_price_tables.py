"""Changes of prices, versions and discounts as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kat_metering.cli_tables import amount

_STYLES = {"added": "green", "removed": "red", "changed": "yellow"}


def plain_table(*columns: str, numbers: tuple[str, ...] = (), title: str | None = None) -> Table:
    """A table whose `numbers` are aligned to the right and never cut."""
    table = Table(box=box.SIMPLE, title=title, title_justify="left", pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        right = name in numbers
        table.add_column(name, justify="right" if right else "left", no_wrap=right, overflow="fold")
    return table


def comparison_rows(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Differences as flat rows: what the price is, and what it was."""
    return [{"change": each["change"], **_both(each)} for each in found["differences"]]


def comparison_table(found: Mapping[str, Any]) -> RenderableType:
    table = plain_table(
        "", "model", "segment", "mode", "from", "was until", "until", "was", "is", numbers=("was", "is")
    )
    for each in found["differences"]:
        was, becomes = each["before"] or {}, each["after"] or {}
        price = becomes or was
        table.add_row(
            Text(each["change"], style=_STYLES[each["change"]]),
            price["model"],
            price["segment"],
            price["mode"],
            _hour(price["effective_from"]),
            _until(was),
            _until(becomes),
            was.get("per_million", ""),
            becomes.get("per_million", ""),
        )
    parts: list[RenderableType] = [table if found["differences"] else Text("No difference.")]
    if found["impact"]:
        impact = plain_table(
            "tenant", "cost before", "cost after", numbers=("cost before", "cost after"), title="Cost, before discounts"
        )
        for each in found["impact"]:
            impact.add_row(each["tenant"], amount(each["cost_before"]), amount(each["cost_after"]))
        parts.append(impact)
    parts += [Text(f"Warning: {warning}", style="dim") for warning in found["warnings"]]
    return Group(*parts)


def version_table(found: Mapping[str, Any]) -> RenderableType:
    table = plain_table("version", "made at", "by", numbers=("version",))
    for each in found["versions"]:
        table.add_row(str(each["number"]), each["made_at"][:19], each["kind"])
    return table


def discount_table(found: Mapping[str, Any]) -> RenderableType:
    table = plain_table("model", "segment", "percent", "from", "until", "reason", numbers=("percent",))
    for each in found["discounts"]:
        table.add_row(
            each["model"] or "every",
            each["segment"] or "every",
            each["percent"],
            _hour(each["effective_from"]),
            _until(each),
            each["reason"],
        )
    return table


def _both(difference: Mapping[str, Any]) -> dict[str, Any]:
    was, becomes = difference["before"] or {}, difference["after"] or {}
    price = becomes or was
    return {
        **{name: price[name] for name in ("model", "segment", "mode", "effective_from")},
        **{f"{name}_before": was.get(name) for name in ("effective_to", "per_million", "source")},
        **{f"{name}_after": becomes.get(name) for name in ("effective_to", "per_million", "source")},
    }


def _hour(moment: str) -> str:
    return f"{moment[:13]}h"


def _until(price: Mapping[str, Any]) -> str:
    return _hour(price["effective_to"]) if price.get("effective_to") else ""
