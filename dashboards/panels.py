"""Panels as every dashboard has them: with a description, a unit and thresholds, on the datasource the reader chose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.builders import prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import (
    BigValueGraphMode,
    DataSourceRef,
    GraphDrawStyle,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue, Threshold, ThresholdsMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

PROMETHEUS: Final = DataSourceRef("prometheus", "${datasource}")
POSTGRES: Final = DataSourceRef("grafana-postgresql-datasource", "${postgres}")
WIDTH: Final = 24
"""Columns of Grafana's grid."""
_GRAPH_HEIGHT: Final = 8
_STAT_HEIGHT: Final = 4
_FILL: Final = 10
_FILL_STACKED: Final = 60

Steps = Sequence[tuple[float | None, str]]
"""From which value on which colour; the first begins at minus infinity, which is None."""
CALM: Final[Steps] = ((None, "green"),)
"""Of what has no good and no bad values."""

_P = TypeVar("_P", timeseries.Panel, stat.Panel, table.Panel)


def above(warning: float, bad: float) -> Steps:
    """Worse the higher."""
    return ((None, "green"), (warning, "orange"), (bad, "red"))


def below(warning: float, bad: float) -> Steps:
    """Worse the lower."""
    return ((None, "red"), (bad, "orange"), (warning, "green"))


@dataclass(frozen=True, slots=True)
class Line:
    """A PromQL expression, and how its series are called: `{{label}}` takes a label's value."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Sql(Dataquery, Builder[Dataquery]):
    """A query of Postgres. The SDK has none; the fields are those of Grafana's plug-in."""

    sql: str
    series: bool
    """Whether the answer is series in time (a column `time`, a text for the name, a number) or a table."""

    def build(self) -> Dataquery:
        return self

    def to_json(self) -> dict[str, object]:
        return {
            "refId": "A",
            "datasource": POSTGRES,
            "editorMode": "code",
            "format": "time_series" if self.series else "table",
            "rawQuery": True,
            "rawSql": self.sql,
        }


def graph(
    title: str,
    description: str,
    *lines: Line,
    unit: str,
    steps: Steps = CALM,
    stacked: bool = False,
    most: float | None = None,
    wide: bool = False,
) -> timeseries.Panel:
    """Series over time. `most` is the top of the axis, where values have one."""
    panel = _graph(stacked=stacked, steps=steps, most=most).datasource(PROMETHEUS).span(WIDTH if wide else WIDTH // 2)
    for number, line in enumerate(lines):
        panel = panel.with_target(_query(line, number).range())
    return _described(panel, title, description, unit, steps)


def number(title: str, description: str, line: Line, *, unit: str, steps: Steps = CALM, span: int = 4) -> stat.Panel:
    """One number, and its course in small."""
    panel = (
        stat.Panel()
        .datasource(PROMETHEUS)
        .height(_STAT_HEIGHT)
        .span(span)
        .graph_mode(BigValueGraphMode.AREA)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(_query(line, 0).range())
    )
    return _described(panel, title, description, unit, steps)


def sql_graph(
    title: str, description: str, sql: str, *, unit: str, steps: Steps = CALM, stacked: bool = False, bars: bool = True
) -> timeseries.Panel:
    panel = (
        _graph(stacked=stacked, steps=steps).datasource(POSTGRES).span(WIDTH // 2).with_target(Sql(sql, series=True))
    )
    if bars:
        panel = panel.draw_style(GraphDrawStyle.BARS).fill_opacity(_FILL_STACKED)
    return _described(panel, title, description, unit, steps)


def sql_number(title: str, description: str, sql: str, *, unit: str, steps: Steps = CALM, span: int = 4) -> stat.Panel:
    panel = (
        stat.Panel()
        .datasource(POSTGRES)
        .height(_STAT_HEIGHT)
        .span(span)
        .graph_mode(BigValueGraphMode.NONE)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(Sql(sql, series=False))
    )
    return _described(panel, title, description, unit, steps)


def sql_table(
    title: str, description: str, sql: str, *, unit: str, units: dict[str, str], steps: Steps = CALM, wide: bool = False
) -> table.Panel:
    """A table. `units` are those of columns that have another than the table's."""
    panel = (
        table.Panel()
        .datasource(POSTGRES)
        .height(_GRAPH_HEIGHT)
        .span(WIDTH if wide else WIDTH // 2)
        .with_target(Sql(sql, series=False))
    )
    for column, its_unit in units.items():
        panel = panel.override_by_name(column, [DynamicConfigValue(id_val="unit", value=its_unit)])
    return _described(panel, title, description, unit, steps)


def _graph(*, stacked: bool, steps: Steps, most: float | None = None) -> timeseries.Panel:
    panel = (
        timeseries.Panel()
        .height(_GRAPH_HEIGHT)
        .min(0)
        .fill_opacity(_FILL_STACKED if stacked else _FILL)
        .stacking(common_builders.StackingConfig().mode(StackingMode.NORMAL if stacked else StackingMode.NONE))
        .tooltip(common_builders.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
        .legend(
            common_builders.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)  # noqa: FBT003 - the SDK's own way
        )
    )
    if most is not None:
        panel = panel.max(most)
    if len(steps) > 1:
        panel = panel.thresholds_style(
            common_builders.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED)
        )
    return panel


def _described(panel: _P, title: str, description: str, unit: str, steps: Steps) -> _P:
    colours = dashboards.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE)
    return (
        panel.title(title)
        .description(description)
        .unit(unit)
        .no_value("No data")
        .thresholds(colours.steps([Threshold(value, colour) for value, colour in steps]))
    )


def _query(line: Line, number: int) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .datasource(PROMETHEUS)
        .ref_id(chr(ord("A") + number))
        .expr(line.expr)
        .legend_format(line.legend or "__auto")
        .format(PromQueryFormat.TIME_SERIES)
    )
