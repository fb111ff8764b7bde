"""Autoscaling: how many replicas there ought to be, how many serve, and why.

The operator's series carry the namespace of the service they tell of; whoever scrapes it must let them
(`honorLabels: true`).
"""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from dashboards.boards import board, label_variable, prometheus_datasource
from dashboards.panels import Line, above, below, graph, number

_OF: Final = 'namespace=~"$namespace", service=~"$service"'
_DESIRED: Final = f"sum by (namespace, service) (kat_operator_desired_replicas{{{_OF}}})"
_READY: Final = f"sum by (namespace, service) (kat_operator_ready_replicas{{{_OF}}})"
_BOUNDS: Final = "AtMaximum|CapacityLimited|MetricsMissing|ScaleDownWindow"


def autoscaling() -> Dashboard:
    return (
        board("kat-autoscaling", "Autoscaling", "How many replicas there ought to be, how many serve, and why.")
        .with_variable(prometheus_datasource())
        .with_variable(label_variable("namespace", "Namespace", "kat_operator_desired_replicas"))
        .with_variable(label_variable("service", "Service", "kat_operator_desired_replicas"))
        .with_panel(
            number(
                "Replicas wanted",
                "Of all services chosen: kat_operator_desired_replicas.",
                Line(f"sum(kat_operator_desired_replicas{{{_OF}}})"),
                unit="short",
            )
        )
        .with_panel(
            number(
                "Replicas that serve",
                "Of all services chosen: kat_operator_ready_replicas.",
                Line(f"sum(kat_operator_ready_replicas{{{_OF}}})"),
                unit="short",
            )
        )
        .with_panel(
            number(
                "Replicas missing",
                "Wanted and not serving yet, service by service: while a replica loads its model this is no fault.",
                Line(f"sum(clamp_min({_DESIRED} - {_READY}, 0))"),
                unit="short",
                steps=above(1, 3),
            )
        )
        .with_panel(
            number(
                "Services limited by their pools",
                "They want more replicas than their pools' nodes can hold: kat_operator_condition, CapacityLimited.",
                Line(_count("CapacityLimited", "True")),
                unit="short",
                steps=above(1, 3),
            )
        )
        .with_panel(
            number(
                "Services without metrics",
                "They are held at their size, whatever the load: kat_operator_condition, MetricsAvailable.",
                Line(_count("MetricsAvailable", "False")),
                unit="short",
                steps=above(1, 3),
            )
        )
        .with_panel(
            number(
                "Operators that act",
                "Exactly one holds the Lease: kat_operator_leader.",
                Line("sum(kat_operator_leader)"),
                unit="short",
                steps=below(1, 0.5),
            )
        )
        .with_row(Row("Replicas"))
        .with_panel(
            graph(
                "Wanted and serving",
                "By service: kat_operator_desired_replicas and kat_operator_ready_replicas.",
                Line(_DESIRED, "{{namespace}}/{{service}} wanted"),
                Line(_READY, "{{namespace}}/{{service}} serving"),
                unit="short",
            )
        )
        .with_panel(
            graph(
                "Missing",
                "Wanted and not serving yet, by service.",
                Line(f"clamp_min({_DESIRED} - {_READY}, 0)", "{{namespace}}/{{service}}"),
                unit="short",
                steps=above(1, 3),
            )
        )
        .with_panel(
            graph(
                "Services in trouble",
                "1 while it is so, by service: fewer replicas serve than must, the pools' nodes hold no more, or there "
                "are no metrics (kat_operator_condition). `kubectl describe ats NAME` has the reason.",
                Line(_while("Ready", "False"), "{{namespace}}/{{service}} not ready"),
                Line(_while("CapacityLimited", "True"), "{{namespace}}/{{service}} limited by its pools"),
                Line(_while("MetricsAvailable", "False"), "{{namespace}}/{{service}} without metrics"),
                unit="short",
                wide=True,
            )
        )
        .with_row(Row("Decisions"))
        .with_panel(
            graph(
                "Why fleets have their size",
                "Decisions a second by reason, all services: kat_operator_decision_total. "
                "`kat autoscaler explain NAME` tells of one service.",
                Line("sum by (reason) (rate(kat_operator_decision_total[$__rate_interval]))", "{{reason}}"),
                unit="ops",
                stacked=True,
            )
        )
        .with_panel(
            graph(
                "Bounded by what",
                "Decisions a second that something other than the load settled: replicas.max, the pools' nodes, "
                "missing metrics, or the scale-down window.",
                Line(
                    f'sum by (reason) (rate(kat_operator_decision_total{{reason=~"{_BOUNDS}"}}[$__rate_interval]))',
                    "{{reason}}",
                ),
                unit="ops",
                stacked=True,
            )
        )
        .with_row(Row("The load behind them"))
        .with_panel(
            graph(
                "Requests in flight",
                "By mode; requests that think hold their place for longer: kat_requests_in_flight.",
                Line('sum by (mode) (kat_requests_in_flight{namespace=~"$namespace"})', "{{mode}}"),
                unit="short",
                stacked=True,
            )
        )
        .with_panel(
            graph(
                "Requests that wait",
                "By replica: kat_requests_queued.",
                Line('sum by (pod) (kat_requests_queued{namespace=~"$namespace"})', "{{pod}}"),
                unit="short",
                steps=above(32, 128),
            )
        )
        .with_row(Row("The operator itself"))
        .with_panel(
            graph(
                "A look at a service",
                "From what is observed to the last write: kat_operator_reconcile_seconds.",
                *(
                    Line(
                        f"histogram_quantile({share}, "
                        "sum by (le) (rate(kat_operator_reconcile_seconds_bucket[$__rate_interval])))",
                        name,
                    )
                    for share, name in ((0.5, "median"), (0.95, "p95"))
                ),
                unit="s",
                steps=above(1, 5),
            )
        )
        .with_panel(
            graph(
                "Looks that failed",
                "A second, by reason; they are tried again: kat_operator_reconcile_failures_total.",
                Line("sum by (reason) (rate(kat_operator_reconcile_failures_total[$__rate_interval]))", "{{reason}}"),
                unit="ops",
                steps=above(0.01, 0.1),
            )
        )
        .with_panel(
            graph(
                "Writes",
                "Objects written a second, by kind; at rest there are none: kat_operator_writes_total.",
                Line("sum by (kind) (rate(kat_operator_writes_total[$__rate_interval]))", "{{kind}}"),
                unit="wps",
                stacked=True,
                wide=True,
            )
        )
    )


def _while(condition: str, status: str) -> str:
    """1 for each service whose condition has that status, 0 for the others."""
    series = f'kat_operator_condition{{{_OF}, condition="{condition}", status="{status}"}}'
    return f"max by (namespace, service) ({series})"


def _count(condition: str, status: str) -> str:
    return f"sum({_while(condition, status)})"
