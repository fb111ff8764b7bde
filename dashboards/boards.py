"""What all dashboards have in common: variables, links to each other, a beginning."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    VariableRefresh,
    VariableSort,
)

from dashboards.panels import POSTGRES, PROMETHEUS

TAG: Final = "kat-serving"
ALL: Final = ".*"
"""Matches series without the label, too: on one machine there is no namespace."""


def board(
    uid: str, title: str, description: str, *, since: str = "now-6h", refresh: str = "30s"
) -> dashboards.Dashboard:
    """An empty dashboard that nobody changes in Grafana: what is provisioned comes from here."""
    return (
        dashboards.Dashboard(f"kat-serving / {title}")
        .uid(uid)
        .description(description)
        .tags([TAG])
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time(since, "now")
        .refresh(refresh)
        .timezone("utc")
        .link(
            dashboards.DashboardLink("kat-serving")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)  # noqa: FBT003 - the SDK's own way
            .keep_time(True)  # noqa: FBT003 - as above
            .include_vars(True)  # noqa: FBT003 - as above
        )
    )


def prometheus_datasource() -> dashboards.DatasourceVariable:
    return dashboards.DatasourceVariable("datasource").label("Prometheus").type("prometheus")


def postgres_datasource() -> dashboards.DatasourceVariable:
    return dashboards.DatasourceVariable("postgres").label("Metering's Postgres").type(str(POSTGRES.type_val))


def label_variable(name: str, label: str, metric: str) -> dashboards.QueryVariable:
    """The values that a label of a metric has; all of them at first."""
    return (
        dashboards.QueryVariable(name)
        .label(label)
        .datasource(PROMETHEUS)
        .query(f"label_values({metric}, {name})")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)  # noqa: FBT003 - the SDK's own way
        .include_all(True)  # noqa: FBT003 - as above
        .all_value(ALL)
    )


def sql_variable(name: str, label: str, sql: str, *, several: bool = True) -> dashboards.QueryVariable:
    """What a query of Postgres finds; all of it at first, where several may be chosen."""
    return (
        dashboards.QueryVariable(name)
        .label(label)
        .datasource(POSTGRES)
        .query(sql)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(several)
        .include_all(several)
    )
