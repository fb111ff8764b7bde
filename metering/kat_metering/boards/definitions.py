"""What the dashboards are: boards of panels, read from Grafana's JSON, which is the only list of their queries."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal

Source = Literal["prometheus", "postgres"]
Kind = Literal["stat", "timeseries", "table"]

_SOURCES: Final[Mapping[str, Source]] = {"prometheus": "prometheus", "grafana-postgresql-datasource": "postgres"}
_KINDS: Final[Mapping[str, Kind]] = {"stat": "stat", "timeseries": "timeseries", "table": "table"}
_FULL_WIDTH: Final = 24
_ORDER: Final = ("kat-thinking", "kat-serving", "kat-autoscaling", "kat-tenants", "kat-metering-health")
_UNITS_OF_TIME: Final = {"m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True)
class Step:
    """From which value on which colour; the first begins at minus infinity, which is None."""

    value: float | None
    colour: str


@dataclass(frozen=True, slots=True)
class Target:
    """One query of a panel."""

    source: Source
    query: str
    legend: str
    """How the series are called, `{{label}}` taking a label's value; empty where a query has one series alone."""


@dataclass(frozen=True, slots=True)
class Panel:
    """What one panel shows, and how."""

    kind: Kind
    title: str
    description: str
    unit: str
    units: Mapping[str, str]
    """Of a table's columns that have one of their own."""
    steps: tuple[Step, ...]
    targets: tuple[Target, ...]
    stacked: bool
    bars: bool
    course: bool
    """Whether a number comes with its course in small."""
    most: float | None
    """The top of the axis, where values have one."""
    wide: bool

    @property
    def source(self) -> Source:
        return self.targets[0].source


@dataclass(frozen=True, slots=True)
class Section:
    """Panels under one heading; those at the top of a board have none."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice that readers have, and that queries name: `$name`, or `${name:sqlstring}`."""

    name: str
    source: Source
    query: str
    """`label_values(metric, label)`, or SQL."""
    several: bool
    everything: str | None
    """What stands for all values, where that is not the list of them."""


@dataclass(frozen=True, slots=True)
class Board:
    uid: str
    title: str
    description: str
    since: timedelta
    """How far back it looks by itself."""
    variables: tuple[Variable, ...]
    sections: tuple[Section, ...]


@cache
def boards() -> tuple[Board, ...]:
    """All dashboards that come with this version, what readers look for first in front."""
    found = [
        board_of(json.loads(file.read_text(encoding="utf-8")))
        for file in (files(__package__) / "grafana").iterdir()
        if file.name.endswith(".json")
    ]
    return tuple(sorted(found, key=lambda board: (board.uid not in _ORDER, [*_ORDER, board.uid].index(board.uid))))


def board_of(dashboard: Mapping[str, Any]) -> Board:
    """A board as Grafana's JSON describes it."""
    return Board(
        uid=dashboard["uid"],
        title=dashboard["title"].removeprefix("kat-serving / "),
        description=dashboard["description"],
        since=_before_now(dashboard["time"]["from"]),
        variables=tuple(
            Variable(
                name=variable["name"],
                source=_SOURCES[variable["datasource"]["type"]],
                query=variable["query"],
                several=variable["multi"],
                everything=variable.get("allValue"),
            )
            for variable in dashboard["templating"]["list"]
            if variable["type"] == "query"
        ),
        sections=tuple(_sections(dashboard["panels"])),
    )


def _sections(panels: list[dict[str, Any]]) -> Iterator[Section]:
    title, gathered = "", list[Panel]()
    for panel in panels:
        if panel["type"] != "row":
            gathered.append(_panel(panel))
            continue
        if gathered:
            yield Section(title, tuple(gathered))
        title, gathered = panel["title"], []
    if gathered:
        yield Section(title, tuple(gathered))


def _panel(panel: Mapping[str, Any]) -> Panel:
    defaults = panel["fieldConfig"]["defaults"]
    custom = defaults.get("custom", {})
    return Panel(
        kind=_KINDS[panel["type"]],
        title=panel["title"],
        description=panel["description"],
        unit=defaults["unit"],
        units={
            override["matcher"]["options"]: rule["value"]
            for override in panel["fieldConfig"]["overrides"]
            for rule in override["properties"]
            if rule["id"] == "unit"
        },
        steps=tuple(Step(step["value"], step["color"]) for step in defaults["thresholds"]["steps"]),
        targets=tuple(
            Target(
                source=_SOURCES[target["datasource"]["type"]],
                query=target["expr"] if "expr" in target else target["rawSql"],
                legend=target.get("legendFormat", "__auto").replace("__auto", ""),
            )
            for target in panel["targets"]
        ),
        stacked=custom.get("stacking", {}).get("mode") == "normal",
        bars=custom.get("drawStyle") == "bars",
        course=panel.get("options", {}).get("graphMode") == "area",
        most=defaults.get("max"),
        wide=panel["gridPos"]["w"] == _FULL_WIDTH,
    )


def _before_now(since: str) -> timedelta:
    found = re.fullmatch(r"now-(\d+)([mhd])", since)
    if found is None:
        raise ValueError(f"a dashboard that does not look back from now: {since}")
    return timedelta(**{_UNITS_OF_TIME[found[2]]: int(found[1])})
