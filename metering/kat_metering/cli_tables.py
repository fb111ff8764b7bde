"""Answers of metering as tables for a terminal of 100 columns, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from rich import box
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from kat.usage_event import Segment
from kat_metering.exports.cells import safe_cell

_GROUPS: Final = ("tenant", "day", "model", "mode", "mode_source", "project", "api_key_id", "status", "task")
_LABELS: Final = {"api_key_id": "key", "mode_source": "chosen by"}
_SIGNIFICANT: Final = 4
_PIPE_WIDTH: Final = 100
_WIDEST: Final = 1_000


def print_table(table: RenderableType, console: Console | None = None) -> None:
    """Print to the terminal's width; to a pipe, and where numbers would be cut, as wide as needed."""
    console = console or Console(highlight=False)
    needed = Measurement.get(console, console.options.update(max_width=_WIDEST), table).minimum
    width = max(needed, console.width if console.is_terminal else max(console.width, _PIPE_WIDTH))
    console.width = width
    console.print(table)


def amount(value: str | None) -> str:
    """Money for reading: two places from 1 on, else four significant digits. The exact amount is in JSON and CSV."""
    if value is None:
        return "unpriced"
    exact = Decimal(value)
    if not exact:
        return "0"
    places = 2 if abs(exact) >= 1 else _SIGNIFICANT - exact.adjusted() - 1
    return f"{exact:,.{places}f}"


def usage_table(report: Mapping[str, Any]) -> RenderableType:
    totals = report["totals"]
    groups = _groups_in(report["rows"])
    unpriced = totals["unpriced_tokens"] > 0
    table = _table(groups, "reqs", "prompt", "judge", "think", "answer", "control", totals["currency"] or "cost")
    if unpriced:
        table.add_column("unpriced", justify="right", style="yellow", no_wrap=True)

    def cells(row: Mapping[str, Any]) -> list[str]:
        tokens = row["tokens"]
        counts = [
            tokens["prompt"] + tokens["prompt_cached"],
            *(tokens[name] for name in Segment if "prompt" not in name),
        ]
        numbers = [f"{row['requests']:,}", *(f"{count:,}" for count in counts), amount(row["cost"])]
        return [*numbers, f"{row['unpriced_tokens']:,}" if row["unpriced_tokens"] else ""] if unpriced else numbers

    _fill(table, groups, report["rows"], totals, cells)
    notes = [_window(report)]
    if unpriced:
        notes.append("unpriced: tokens for which no price was in force; they are in no cost.")
    return Group(table, _notes(notes))


def savings_table(report: Mapping[str, Any]) -> RenderableType:
    baseline, totals = report["baseline"], report["totals"]
    groups = _groups_in(report["rows"])
    table = _table(groups, "reqs", "tokens\nsaved", "cost", "baseline\ncost", "saved", "", "basis")

    def cells(row: Mapping[str, Any]) -> list[str]:
        share = row["savings_share"]
        interval = row["interval"]
        saved = amount(row["savings"])
        if interval is not None:
            saved += f"\n{amount(interval['low'])} to\n{amount(interval['high'])}"
        return [
            f"{row['requests']:,}",
            f"{row['baseline_completion_tokens'] - row['completion_tokens']:,}",
            amount(row["actual_cost"]),
            amount(row["baseline_cost"]),
            saved,
            "" if share is None else f"{share:.1%}",
            row["token_basis"].replace("_", " "),
        ]

    _fill(table, groups, report["rows"], totals, cells)
    hypothetical = " (hypothetical)" if baseline["hypothetical"] else ""
    title = f"{report['method']} savings against {baseline['name']}{hypothetical}, in {report['currency']}"
    notes = [report["method_description"], _window(report)]
    if totals["interval"] is not None:
        notes.append(f"low to high: {totals['interval']['level']:.0%} bootstrap interval, n = {totals['samples']:,}.")
    notes += [
        f"{'Left out' if each['left_out'] else 'At equal tokens'}: {_requests(each['requests'])}"
        f" ({each['reason'].replace('_', ' ')}). {each['explanation']}"
        for each in report["exclusions"]
    ]
    notes += [f"Assumed: {each}" for each in report["assumptions"]]
    notes += [f"Price of {each['model']}: {each['source']} ({each['source_date']})" for each in report["price_sources"]]
    sources = dict.fromkeys(f"{price['source']} ({price['source_date']})" for price in baseline["prices"])
    notes += [f"Price of {baseline['name']}: {source}" for source in sources]
    about = Text(f"{baseline['architecture']}. {baseline['description']}", style="dim")
    return Group(Text(title, style="bold"), about, table, _notes(notes))


def estimate_table(report: Mapping[str, Any]) -> RenderableType:
    cited = _table([], "task", "KAT-V1-40B", report["compared_with"], "saved", title="Tokens per task, as cited")
    for row in report["token_table"]:
        share = f"{Decimal(row['saved_percent']):.0f} %"
        cells = (row["title"], f"~{row['tokens_ours']:,}", f"~{row['tokens_baseline']:,}", share)
        cited.add_row(*cells, style="bold" if row["task"] == report["task"] else None)
    inputs = _table([], "name", "value", "unit", "label", title="Inputs")
    for each in report["inputs"]:
        inputs.add_row(each["name"], _number(each["value"]), each["unit"], each["label"])
    steps = _table([], "step", "value", "unit", title="Arithmetic")
    steps.add_column("from", overflow="fold")
    for each in report["steps"]:
        steps.add_row(each["name"], _number(each["value"]), each["unit"], each["formula"])
    saved = Text(f"Saves {Decimal(report['savings']):,.2f} {report['currency']}", style="bold green")
    derived = [f"{each['name']}: {each['source']}" for each in report["inputs"] if each["label"] == "derived"]
    notes = [f"cited: {report['source']}.", *derived, *(f"Assumed: {each}" for each in report["assumptions"])]
    return Group(saved, Text(), inputs, steps, cited, _notes(notes))


def price_table(book: Mapping[str, Any]) -> RenderableType:
    table = _table(
        [], "model", "segment", "mode", f"{book['currency'] or ''} per million", "from", "to", "basis", "source"
    )
    sources: dict[str, int] = {}
    for price in book["prices"]:
        number = sources.setdefault(f"{price['source']} ({price['source_date']})", len(sources) + 1)
        period = (price["effective_from"][:13] + "h", f"{price['effective_to'][:13]}h" if price["effective_to"] else "")
        cells = (price["model"], price["segment"], price["mode"], price["per_million"], *period, price["basis"])
        table.add_row(*cells, f"{number}")
    notes = [f"{number}: {source}" for source, number in sources.items()]
    return Group(table, _notes([*notes, *(f"Warning: {each}" for each in book["warnings"])]))


def csv_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as CSV, nested objects as columns with a dot; exact amounts. Empty without rows."""
    flat = [_flat(row) for row in rows]
    columns = list(dict.fromkeys(name for row in flat for name in row))
    text = io.StringIO(newline="")
    if columns:
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: safe_cell(value) for name, value in row.items()} for row in flat)
    return text.getvalue()


def _flat(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def _groups_in(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return [name for name in _GROUPS if any(name in row for row in rows)]


_LEFT: Final = frozenset({"model", "segment", "mode", "from", "to", "basis", "name", "task", "unit", "label", "step"})


def _table(groups: Iterable[str], *columns: str, title: str | None = None) -> Table:
    """Groups may be folded where the terminal is narrow; numbers are never cut."""
    table = Table(box=box.SIMPLE, title=title, title_justify="left", pad_edge=False, padding=(0, 1, 0, 0))
    for name in groups:
        label = _LABELS.get(name, name)
        table.add_column(label, overflow="fold", min_width=len(label))
    for name in columns:
        table.add_column(name, justify="left" if name in _LEFT else "right", no_wrap=True)
    return table


def _requests(count: int) -> str:
    return "1 request" if count == 1 else f"{count:,} requests"


def _fill(table: Table, groups: list[str], rows: Any, totals: Mapping[str, Any], cells: Any) -> None:
    for row in rows:
        table.add_row(*("-" if row[name] is None else str(row[name]) or "-" for name in groups), *cells(row))
    table.add_section()
    table.add_row(*(["total", *[""] * len(groups)][: len(groups)]), *cells(totals), style="bold")


def _window(report: Mapping[str, Any]) -> str:
    as_of = report["as_of"]
    freshness = "nothing rolled up yet" if as_of is None else f"as of {as_of[:19]}Z"
    return f"{report['from'][:16]}Z to {report['to'][:16]}Z, {freshness}."


def _number(value: str) -> str:
    exact = Decimal(value)
    return f"{exact:,.0f}" if exact == exact.to_integral_value() else f"{exact:,.2f}"


def _notes(notes: Iterable[str]) -> RenderableType:
    grid = Table.grid(padding=(0, 1, 0, 0))
    for note in notes:
        grid.add_row(Text("-", style="dim"), Text(note, style="dim"))
    return grid
