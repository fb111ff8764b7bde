"""The report's panels are those of Grafana's dashboards."""

from __future__ import annotations

from datetime import timedelta
from importlib.resources import files
from pathlib import Path

import pytest

from kat_metering.boards.definitions import Board, Panel, board_of, boards
from kat_metering.boards.units import WRITERS
from tests.fakes import grafana

BOARDS = {board.uid: board for board in boards()}
EACH_DASHBOARD = pytest.mark.parametrize("path", grafana.DASHBOARDS, ids=lambda path: path.stem)


def panels(board: Board) -> list[Panel]:
    return [panel for section in board.sections for panel in section.panels]


def test_the_files_are_the_very_ones_of_grafana() -> None:
    carried = {file.name: file.read_text() for file in (files("kat_metering.boards") / "grafana").iterdir()}
    assert carried == {path.name: path.read_text() for path in grafana.DASHBOARDS}


def test_thinking_is_the_first_thing_to_look_at() -> None:
    assert next(iter(BOARDS)) == "kat-thinking"


@EACH_DASHBOARD
def test_every_panel_is_there_with_every_query(path: Path) -> None:
    expected = [
        (panel["title"], [target.get("expr") or target["rawSql"] for target in panel["targets"]])
        for panel in grafana.panels(grafana.load(path))
    ]
    found = [(panel.title, [target.query for target in panel.targets]) for panel in panels(BOARDS[path.stem])]
    assert found == expected


@EACH_DASHBOARD
def test_every_unit_can_be_written(path: Path) -> None:
    units = {unit for panel in panels(BOARDS[path.stem]) for unit in (panel.unit, *panel.units.values())}
    assert units <= WRITERS.keys()


def test_panels_after_a_heading_are_its_own() -> None:
    titles = [section.title for section in BOARDS["kat-tenants"].sections]
    assert titles == ["", "Cost", "Savings against $baseline"]


def test_thresholds_are_those_of_grafana() -> None:
    (waiting,) = [panel for panel in panels(BOARDS["kat-serving"]) if panel.title == "Waiting"]
    assert [(step.value, step.colour) for step in waiting.steps] == [(None, "green"), (32, "orange"), (128, "red")]


def test_a_board_over_days_says_so() -> None:
    assert (BOARDS["kat-tenants"].since, BOARDS["kat-serving"].since) == (timedelta(days=30), timedelta(hours=6))


def test_a_board_that_does_not_end_now_is_refused() -> None:
    dashboard = grafana.load(grafana.DASHBOARDS[0]) | {"time": {"from": "2026-01-01", "to": "now"}}
    with pytest.raises(ValueError, match="does not look back from now"):
        board_of(dashboard)
