"""`kat autoscaler`: what the autoscaler decided, and why."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from kat_operator.autoscaler.explain import explain as explanation_of
from kat_operator.autoscaler.explain import explain_now

_KUBECONFIG: Final = Path("~/.kube/config")


@click.group()
def autoscaler() -> None:
    """See what the autoscaler decided for an AutoThinkService, and why."""


@autoscaler.command()
@click.argument("name")
@click.option("-n", "--namespace", default="default", show_default=True)
@click.option(
    "--kubeconfig",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="KUBECONFIG",
    help="Default: ~/.kube/config, or inside a cluster the pod's own account.",
)
@click.option("--prometheus", metavar="URL", help="Show the signals of this moment too, from this Prometheus.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def explain(*, name: str, namespace: str, kubeconfig: Path | None, prometheus: str | None, form: str) -> None:
    """Print what each law wanted for the service NAME, what bounded it, and what was decided."""
    # Imported here, because the Kubernetes client takes a second to import and `kat --help` should not.
    from kat_operator.autoscaler.live import Unexplained, read_service  # noqa: PLC0415

    default = _KUBECONFIG.expanduser()
    path = kubeconfig or (default if default.is_file() else None)
    try:
        service, signals = asyncio.run(read_service(path, namespace, name, prometheus))
    except Unexplained as error:
        raise click.ClickException(str(error)) from error
    answer = explanation_of(service)
    if signals is not None:
        answer["now"] = explain_now(service, signals)
    if form == "json":
        click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        Console(highlight=False).print(as_tables(answer))


def as_tables(answer: Mapping[str, Any]) -> RenderableType:
    """What `explain` and `explain_now` answer, for people."""
    replicas = answer["replicas"]
    head = f"{answer['namespace']}/{answer['name']}: {replicas['desired']} desired, {replicas['ready']} ready"
    if answer["thinkOnShare"] is not None:
        head += f", {answer['thinkOnShare']} think-on"
    if answer["startupSeconds"] is not None:
        head += f", {answer['startupSeconds']:.0f} s to start"
    pools = [
        (f"pool {pool['name']}", f"{pool['replicas']} asked, {pool['ready']} ready, room for {pool['ceiling']}")
        for pool in answer["pools"]
    ]
    conditions = [
        (f"{condition['type']} {condition['status']}", f"{condition['reason']}: {condition['message']}")
        for condition in answer["conditions"]
    ]
    parts: list[RenderableType] = [Text(head, style="bold"), _labelled([*pools, *conditions])]
    decision = answer["decision"]
    if decision is None:
        parts.append(Text("Nothing has been decided yet."))
    else:
        if decision["wishes"]:
            parts.append(_wishes("Last decision", decision["wishes"]))
        bounds = [(f"bounded by {bound['name']}", bound["means"]) for bound in decision["bounds"]]
        made = (decision["reason"], f"{decision['message']} (since {decision['since']})")
        parts.append(_labelled([*bounds, made]))
    if "now" in answer:
        parts += [_signals(answer["now"]["signals"]), _wishes("Now, without memory", answer["now"]["wishes"])]
    return Group(*parts)


def _labelled(rows: Sequence[tuple[str, str]]) -> RenderableType:
    """Texts beside their labels, so that one which takes several lines of a narrow terminal stays in its column."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="bold")
    grid.add_column()
    for label, text in rows:
        grid.add_row(Text(label), Text(text))
    return grid


def _table(title: str) -> Table:
    # Without frames: each of their columns would cost the texts three.
    return Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)


def _wishes(title: str, wishes: Sequence[Mapping[str, Any]]) -> RenderableType:
    table = _table(title)
    table.add_column("law", no_wrap=True)
    table.add_column("replicas", justify="right", no_wrap=True)
    table.add_column("because")
    largest = max((wish["replicas"] for wish in wishes), default=None)
    for wish in wishes:
        style = "bold" if wish["replicas"] == largest else None
        table.add_row(wish["law"], f"{wish['replicas']:.2f}", wish["because"], style=style)
    return table


def _signals(signals: Mapping[str, Any]) -> RenderableType:
    table = _table("Signals")
    table.add_column("", no_wrap=True)
    modes = signals["modes"]
    for mode in modes:
        table.add_column(f"think-{mode}", justify="right", no_wrap=True)
    for name, key in (
        ("arrivals/s", "arrivalsPerSecond"),
        ("in flight", "inFlight"),
        ("tokens a request", "tokensPerRequest"),
        ("seconds a request", "secondsPerRequest"),
        ("first answer p95", "timeToFirstAnswerTokenSeconds"),
    ):
        figures = [of_mode[key] for of_mode in modes.values()]
        table.add_row(name, *("" if figure is None else f"{figure:,.2f}" for figure in figures))
    kv = [replica["kvCacheUsage"] for replica in signals["replicas"]]
    full = f", KV caches {sum(kv) / len(kv):.0%} full" if kv else ""
    return Group(
        table, Text(f"{signals['queued']:.0f} queued, {signals['rejectedPerSecond']:.2f} refused a second{full}")
    )
