"""Serving: what comes in, how fast it is answered, and how full the replicas are."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from dashboards.boards import board, label_variable, prometheus_datasource
from dashboards.objectives import OBJECTIVES
from dashboards.panels import Line, above, graph, number

_OF: Final = 'namespace=~"$namespace", model=~"$model"'
_POD: Final = 'namespace=~"$namespace"'


def _rate(metric: str, *, by: str = "", extra: str = "") -> str:
    grouping = f" by ({by}) " if by else ""
    return f"sum{grouping}(rate({metric}{{{_OF}{extra}}}[$__rate_interval]))"


def _quantiles(metric: str) -> list[Line]:
    buckets = f"sum by (le) (rate({metric}_bucket{{{_OF}}}[$__rate_interval]))"
    return [
        Line(f"histogram_quantile({share}, {buckets})", name)
        for share, name in ((0.5, "median"), (0.95, "p95"), (0.99, "p99"))
    ]


def serving() -> Dashboard:
    dashboard = (
        board("kat-serving", "Serving", "What comes in, how fast it is answered, and how full the replicas are.")
        .with_variable(prometheus_datasource())
        .with_variable(label_variable("namespace", "Namespace", "kat_requests_in_flight"))
        .with_variable(label_variable("model", "Model", "kat_requests_in_flight"))
        .with_panel(
            number(
                "Requests",
                "Requests a second that ended, refused ones not counted: kat_requests_total.",
                Line(_rate("kat_requests_total", extra=', status!="rejected"')),
                unit="reqps",
            )
        )
        .with_panel(
            number(
                "Generated tokens",
                "Completion tokens a second of requests that ended: kat_tokens_total.",
                Line(_rate("kat_tokens_total", extra=', segment=~"judge|think|answer|control"')),
                unit="short",
            )
        )
        .with_panel(
            number(
                "Failures",
                "Share of requests in the last hour that ended in an error or found no room on a replica, the worst "
                "model: namespace_model:kat_requests_failed:ratio_rate1h.",
                Line(f"max(namespace_model:kat_requests_failed:ratio_rate1h{{{_OF}}})"),
                unit="percentunit",
                steps=above(OBJECTIVES["kat_requests_failed"].allowed, 10 * OBJECTIVES["kat_requests_failed"].allowed),
            )
        )
        .with_panel(
            number(
                "First token",
                "95th percentile from the start of a request to its first token: kat_time_to_first_token_seconds.",
                _quantiles("kat_time_to_first_token_seconds")[1],
                unit="s",
                steps=above(1, 2.5),
            )
        )
        .with_panel(
            number(
                "Waiting",
                "Requests that wait for a place to run: kat_requests_queued.",
                Line(f"sum(kat_requests_queued{{{_OF}}})"),
                unit="short",
                steps=above(32, 128),
            )
        )
        .with_panel(
            number(
                "Replicas",
                "Predictors that Prometheus reads: series of kat_kv_cache_usage_ratio.",
                Line(f"count(kat_kv_cache_usage_ratio{{{_POD}}})"),
                unit="short",
            )
        )
        .with_row(Row("Traffic"))
        .with_panel(
            graph(
                "Requests by how they ended",
                "A second; rejected ones were refused before they used anything: kat_requests_total by status.",
                Line(_rate("kat_requests_total", by="status"), "{{status}}"),
                unit="reqps",
                stacked=True,
            )
        )
        .with_panel(
            graph(
                "Refused for want of room",
                "A second, by replica; no tenant's own limit is in it: kat_requests_overloaded_total.",
                Line(_rate("kat_requests_overloaded_total", by="pod"), "{{pod}}"),
                unit="reqps",
                steps=above(0.1, 1),
            )
        )
        .with_row(Row("Latency"))
        .with_panel(
            graph(
                "Time to the first token",
                "Of any kind, from the start of a request: kat_time_to_first_token_seconds.",
                *_quantiles("kat_time_to_first_token_seconds"),
                unit="s",
                steps=above(1, 2.5),
            )
        )
        .with_panel(
            graph(
                "Time between tokens",
                "That follow one another, one observation a chunk: kat_inter_token_latency_seconds.",
                *_quantiles("kat_inter_token_latency_seconds"),
                unit="s",
                steps=above(0.05, 0.1),
            )
        )
        .with_panel(
            graph(
                "Duration of a request",
                "From its start to its end, both modes together: kat_request_duration_seconds.",
                *_quantiles("kat_request_duration_seconds"),
                unit="s",
            )
        )
        .with_panel(
            graph(
                "Generated tokens by model",
                "Completion tokens a second of requests that ended: kat_tokens_total.",
                Line(
                    _rate("kat_tokens_total", by="model", extra=', segment=~"judge|think|answer|control"'), "{{model}}"
                ),
                unit="short",
                stacked=True,
            )
        )
        .with_row(Row("Saturation, by replica"))
        .with_panel(
            graph(
                "Requests that run",
                "By replica: kat_requests_in_flight. KAT_MAX_CONCURRENT_REQUESTS is the most.",
                Line(f"sum by (pod) (kat_requests_in_flight{{{_OF}}})", "{{pod}}"),
                unit="short",
            )
        )
        .with_panel(
            graph(
                "Requests that wait",
                "By replica: kat_requests_queued. KAT_MAX_QUEUED_REQUESTS is the most; more are refused.",
                Line(f"sum by (pod) (kat_requests_queued{{{_OF}}})", "{{pod}}"),
                unit="short",
                steps=above(32, 128),
            )
        )
        .with_panel(
            graph(
                "KV cache in use",
                "Share of the engine's KV cache, by replica; a full one holds requests back: kat_kv_cache_usage_ratio.",
                Line(f"max by (pod) (kat_kv_cache_usage_ratio{{{_POD}}})", "{{pod}}"),
                unit="percentunit",
                steps=above(0.8, 0.95),
                most=1,
                wide=True,
            )
        )
        .with_row(Row("Objectives"))
    )
    for name, objective in OBJECTIVES.items():
        dashboard = dashboard.with_panel(
            graph(
                f"Error budget burnt: {objective.title}",
                f"How many times faster than {objective.share:.1%} over 30 days allows: 1 uses the budget up just at "
                f"their end. {objective.description} namespace_model:{name}:ratio_rate1h and its like.",
                *(
                    Line(
                        f"namespace_model:{name}:ratio_rate{window}{{{_OF}}} / {objective.allowed:g}",
                        f"{{{{model}}}} over {window}",
                    )
                    for window in ("1h", "6h")
                ),
                unit="none",
                steps=above(1, 14.4),
            )
        )
    return dashboard
