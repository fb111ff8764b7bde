"""What every panel of every dashboard has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

import kat_metering.metrics
import kat_operator.metrics
import kat_predictor.metrics
from dashboards.__main__ import stale
from dashboards.rules import rules
from tests.fakes.grafana import DASHBOARDS, load, panels

PANELS = [(path.stem, panel) for path in DASHBOARDS for panel in panels(load(path))]
EACH_PANEL = pytest.mark.parametrize(
    "panel", [panel for _, panel in PANELS], ids=[f"{board}: {panel['title']}" for board, panel in PANELS]
)
EACH_DASHBOARD = pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
NAME = re.compile(r"\b(?:[a-z_]+:)?kat_[a-z_]+(?::\w+)?")


def known_metrics() -> set[str]:
    """Everything that the parts expose, as Prometheus names it, and everything that is recorded."""
    predictor = CollectorRegistry()
    kat_predictor.metrics.Metrics(predictor)
    registries = (predictor, kat_metering.metrics.Metrics().registry, kat_operator.metrics.Metrics().registry)
    names = {name for registry in registries for known in registry._collector_to_names.values() for name in known}
    return names | {rule["record"] for group in rules()["groups"] for rule in group["rules"] if "record" in rule}


def test_what_is_committed_is_what_is_built() -> None:
    assert stale() == []


def test_there_are_the_five_dashboards() -> None:
    assert [path.stem for path in DASHBOARDS] == [
        "kat-autoscaling",
        "kat-metering-health",
        "kat-serving",
        "kat-tenants",
        "kat-thinking",
    ]


@EACH_PANEL
def test_a_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")


@EACH_PANEL
def test_a_panel_has_a_unit_and_thresholds(panel: dict[str, Any]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    assert defaults["unit"]
    assert defaults["thresholds"]["steps"]


@EACH_PANEL
def test_a_panel_reads_from_the_datasource_that_was_chosen(panel: dict[str, Any]) -> None:
    assert {target["datasource"]["uid"] for target in panel["targets"]} <= {"${datasource}", "${postgres}"}


@EACH_PANEL
def test_rates_are_as_long_as_the_scrape_interval_needs(panel: dict[str, Any]) -> None:
    windows = {
        window
        for target in panel["targets"]
        for window in re.findall(r"rate\([^\[]*\[([^\]]+)\]", target.get("expr", ""))
    }
    assert windows <= {"$__rate_interval"}


@EACH_PANEL
def test_a_panel_asks_for_metrics_that_there_are(panel: dict[str, Any]) -> None:
    asked = {name for target in panel["targets"] for name in NAME.findall(target.get("expr", ""))}
    assert asked <= known_metrics()


@EACH_DASHBOARD
def test_titles_are_unique_within_a_dashboard(path: Path) -> None:
    titles = [panel["title"] for panel in panels(load(path))]
    assert sorted(titles) == sorted(set(titles))


@EACH_DASHBOARD
def test_panels_lie_beside_each_other_and_never_on_one_another(path: Path) -> None:
    taken = [
        (x, y)
        for panel in load(path)["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24


@EACH_DASHBOARD
def test_every_panel_has_an_id_of_its_own(path: Path) -> None:
    ids = [panel.get("id") for panel in load(path)["panels"]]
    assert ids == list(range(1, len(ids) + 1))


@EACH_DASHBOARD
def test_every_variable_that_is_used_is_there(path: Path) -> None:
    dashboard = load(path)
    there = {variable["name"] for variable in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]+)", path.read_text()))
    assert used == there


@EACH_DASHBOARD
def test_nobody_changes_a_dashboard_in_grafana(path: Path) -> None:
    assert load(path)["editable"] is False
