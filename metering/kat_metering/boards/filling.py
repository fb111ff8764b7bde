"""Boards with what their queries find: a course, a table or a number for each panel, or why it has none."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from kat_metering.boards.charts import Course, Series
from kat_metering.boards.choice import Chosen, promql, sql, words
from kat_metering.boards.definitions import Board, Panel, Target, Variable
from kat_metering.boards.postgres import Denied, Postgres, Rows
from kat_metering.boards.prometheus import Found, Prometheus, metrics_in
from kat_metering.boards.window import Window

_NO_PROMETHEUS: Final = "no Prometheus was named"
_NO_POSTGRES: Final = "no database was named"
_NO_ROWS: Final = "the database holds nothing of the kind for this time and choice"
_NOT_IN_THIS_TIME: Final = "its series are there, and nothing of the kind happened in this time, or to this choice"


@dataclass(frozen=True, slots=True)
class Filled:
    """A panel, and what there is to show on it: one of `course`, `rows` and `number`, or `why` there is nothing."""

    panel: Panel
    title: str
    description: str
    course: Course | None = None
    rows: Rows | None = None
    number: float | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class FilledSection:
    title: str
    panels: tuple[Filled, ...]


@dataclass(frozen=True, slots=True)
class FilledBoard:
    board: Board
    window: Window
    sections: tuple[FilledSection, ...]


@dataclass
class Sources:
    """Where panels find something. One that was not named leaves its panels empty."""

    prometheus: Prometheus | None = None
    postgres: Postgres | None = None
    _names: dict[Window, frozenset[str]] = field(default_factory=dict)

    def unknown(self, queries: Sequence[str], window: Window) -> list[str]:
        """Metrics that queries ask for and that had no series within the window."""
        if self.prometheus is None:
            return []
        if window not in self._names:
            self._names[window] = self.prometheus.names(window)
        return sorted(metrics_in(queries) - self._names[window])


def filled(board: Board, sources: Sources, asked: Chosen, window: Window) -> FilledBoard:
    """The board over a window, for what the reader asked for by the names of its variables.

    Raises ReportSourceError where a source does not answer.
    """
    chosen = _chosen(board.variables, sources.postgres, asked)
    return FilledBoard(
        board,
        window,
        tuple(
            FilledSection(
                words(section.title, chosen),
                tuple(_panel(panel, board.variables, sources, chosen, window) for panel in section.panels),
            )
            for section in board.sections
        ),
    )


def _chosen(variables: Sequence[Variable], postgres: Postgres | None, asked: Chosen) -> dict[str, Sequence[str]]:
    """Values of the variables: those asked for; otherwise all that Postgres has, or the first where one is to be had.

    What is not asked for of a Prometheus needs no list: a pattern matches it.
    """
    chosen: dict[str, Sequence[str]] = {}
    for variable in variables:
        values = list(asked.get(variable.name, ()))
        if not values and variable.source == "postgres" and postgres is not None:
            values = [str(row[0]) for row in postgres.ask(variable.query).rows]
            values = values if variable.several else values[:1]
        if values or variable.source == "postgres":
            chosen[variable.name] = values
    return chosen


def _panel(panel: Panel, variables: Sequence[Variable], sources: Sources, chosen: Chosen, window: Window) -> Filled:
    blank = Filled(panel, words(panel.title, chosen), words(panel.description, chosen))
    if panel.source == "prometheus":
        return _from_prometheus(blank, variables, sources, chosen, window)
    if sources.postgres is None:
        return replace(blank, why=_NO_POSTGRES)
    return _from_postgres(blank, sources.postgres, chosen, window)


def _from_prometheus(
    blank: Filled, variables: Sequence[Variable], sources: Sources, chosen: Chosen, window: Window
) -> Filled:
    if sources.prometheus is None:
        return replace(blank, why=_NO_PROMETHEUS)
    targets = blank.panel.targets
    asked = [promql(target.query, variables, chosen, window) for target in targets]
    series = tuple(
        Series(_name(target, found, blank.title), found.values)
        for target, query in zip(targets, asked, strict=True)
        for found in sources.prometheus.course(query, window)
    )
    if series:
        return replace(blank, course=Course(window.moments, series), number=series[0].latest)
    missing = sources.unknown(asked, window)
    return replace(blank, why=f"Prometheus has no series {', '.join(missing)}" if missing else _NOT_IN_THIS_TIME)


def _from_postgres(blank: Filled, postgres: Postgres, chosen: Chosen, window: Window) -> Filled:
    try:
        rows = postgres.ask(sql(blank.panel.targets[0].query, chosen, window))
    except Denied as denied:
        return replace(blank, why=f"the database's user may not read it ({denied})")
    if not any(value is not None for row in rows.rows for value in row):
        return replace(blank, why=_NO_ROWS)
    if blank.panel.kind == "table":
        return replace(blank, rows=rows)
    if blank.panel.kind == "stat":
        return replace(blank, number=float(str(rows.rows[-1][0])))
    return replace(blank, course=_course(rows))


def _name(target: Target, found: Found, title: str) -> str:
    if target.legend:
        return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: found.labels.get(match[1], ""), target.legend)
    return ", ".join(found.labels.values()) or title


def _course(rows: Rows) -> Course:
    """Rows of a time, a name and a number as series; a moment without a row of a name is one without a value."""
    values: dict[str, dict[datetime, float]] = {}
    for at, name, value in rows.rows:
        if not isinstance(at, datetime):
            raise TypeError(f"a column `time` that holds no times: {at!r}")
        if value is not None:
            values.setdefault(str(name), {})[at.astimezone(UTC)] = float(str(value))
    moments = tuple(sorted({at for known in values.values() for at in known}))
    return Course(
        moments, tuple(Series(name, tuple(map(known.get, moments))) for name, known in sorted(values.items()))
    )


def without_data(board: FilledBoard) -> Mapping[str, str]:
    """Titles of the panels that show nothing, and why."""
    return {panel.title: panel.why for section in board.sections for panel in section.panels if panel.why}
