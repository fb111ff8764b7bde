"""Thinking: how often the model thinks, who decided so, and what that costs in tokens and in waiting."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from dashboards.boards import board, label_variable, prometheus_datasource
from dashboards.panels import Line, above, graph, number

_OF: Final = 'namespace=~"$namespace", model=~"$model"'
_THINKS: Final = ', mode="on"'
_REASONING: Final = 'segment=~"judge|think"'
_COMPLETION: Final = 'segment=~"judge|think|answer|control"'


def _sum(by: str) -> str:
    return f"sum by ({by}) " if by else "sum"


def _decided(by: str = "", *, extra: str = "") -> str:
    return f"{_sum(by)}(rate(kat_requests_decided_total{{{_OF}{extra}}}[$__rate_interval]))"


def _tokens(extra: str, *, by: str = "") -> str:
    return f"{_sum(by)}(rate(kat_tokens_total{{{_OF}, {extra}}}[$__rate_interval]))"


def _quantile(share: float, metric: str, *, by: str = "mode", extra: str = 'mode=~"on|off"') -> str:
    return f"histogram_quantile({share}, sum by (le, {by}) (rate({metric}_bucket{{{_OF}, {extra}}}[$__rate_interval])))"


def thinking() -> Dashboard:
    answer = "kat_time_to_first_answer_token_seconds"
    return (
        board("kat-thinking", "Thinking", "How often the model thinks, who decided so, and what it costs.")
        .with_variable(prometheus_datasource())
        .with_variable(label_variable("namespace", "Namespace", "kat_requests_decided_total"))
        .with_variable(label_variable("model", "Model", "kat_requests_decided_total"))
        .with_panel(
            number(
                "Requests that think",
                "Share of requests, at the door, that were decided to think: kat_requests_decided_total.",
                Line(f"{_decided(extra=_THINKS)} / {_decided()}"),
                unit="percentunit",
            )
        )
        .with_panel(
            number(
                "Reasoning tokens",
                "Share of completion tokens that are judge or think: kat_tokens_total.",
                Line(f"{_tokens(_REASONING)} / {_tokens(_COMPLETION)}"),
                unit="percentunit",
            )
        )
        .with_panel(
            number(
                "Wait for an answer, thinking",
                "95th percentile from the start of a request to the first token of its answer, of requests that think.",
                Line(_quantile(0.95, answer, extra='mode="on"')),
                unit="s",
                steps=above(30, 60),
            )
        )
        .with_panel(
            number(
                "Wait for an answer, not thinking",
                "95th percentile from the start of a request to the first token of its answer, of all others.",
                Line(_quantile(0.95, answer, extra='mode="off"')),
                unit="s",
                steps=above(2.5, 10),
            )
        )
        .with_panel(
            number(
                "Thinking cut at its budget",
                "Requests a second whose thinking was closed at its budget: kat_think_budget_exhausted_total.",
                Line('sum(rate(kat_think_budget_exhausted_total{namespace=~"$namespace"}[$__rate_interval]))'),
                unit="reqps",
            )
        )
        .with_panel(
            number(
                "Turned off by a budget",
                "Share of requests that a tenant's monthly budget turned to think-off: mode_source is budget.",
                Line(
                    f'(sum(rate(kat_requests_total{{{_OF}, mode_source="budget"}}[$__rate_interval])) or vector(0))'
                    f' / sum(rate(kat_requests_total{{{_OF}, status!="rejected"}}[$__rate_interval]))'
                ),
                unit="percentunit",
                steps=above(0.05, 0.25),
            )
        )
        .with_row(Row("Modes"))
        .with_panel(
            graph(
                "Requests that think, by model",
                "Share of requests that were decided to think: kat_requests_decided_total.",
                Line(f"{_decided('model', extra=_THINKS)} / {_decided('model')}", "{{model}}"),
                unit="percentunit",
                most=1,
            )
        )
        .with_panel(
            graph(
                "Who chose the mode",
                "Requests a second that ended, by who chose: the model's judge, words of the user, a parameter of the "
                "request, or the tenant's budget. kat_requests_total by mode_source.",
                Line(
                    f'sum by (mode_source) (rate(kat_requests_total{{{_OF}, status!="rejected"}}[$__rate_interval]))',
                    "{{mode_source}}",
                ),
                unit="reqps",
                stacked=True,
            )
        )
        .with_panel(
            graph(
                "Requests that think, by who chose",
                "Of the requests that each of them decided, the share that thinks: kat_requests_total.",
                Line(
                    f'sum by (mode_source) (rate(kat_requests_total{{{_OF}, mode="on"}}[$__rate_interval]))'
                    f' / sum by (mode_source) (rate(kat_requests_total{{{_OF}, mode=~"on|off"}}[$__rate_interval]))',
                    "{{mode_source}}",
                ),
                unit="percentunit",
                most=1,
            )
        )
        .with_panel(
            graph(
                "Requests that run, by mode",
                "Mode is undecided until the judge has spoken: kat_requests_in_flight.",
                Line(f"sum by (mode) (kat_requests_in_flight{{{_OF}}})", "{{mode}}"),
                unit="short",
                stacked=True,
            )
        )
        .with_row(Row("Tokens"))
        .with_panel(
            graph(
                "Tokens by segment",
                "Completion tokens a second; segments are disjoint: kat_tokens_total.",
                Line(_tokens(_COMPLETION, by="segment"), "{{segment}}"),
                unit="short",
                stacked=True,
            )
        )
        .with_panel(
            graph(
                "Completion tokens of a request",
                "Mean of requests that ended, by mode: kat_tokens_total over kat_requests_total.",
                Line(
                    f"{_tokens(_COMPLETION, by='mode')} / sum by (mode) "
                    f'(rate(kat_requests_total{{{_OF}, status!="rejected"}}[$__rate_interval]))',
                    "{{mode}}",
                ),
                unit="short",
            )
        )
        .with_row(Row("Waiting"))
        .with_panel(
            graph(
                "Time to the first token of the answer",
                "From the start of a request, thinking included: kat_time_to_first_answer_token_seconds.",
                Line(_quantile(0.5, answer), "median, {{mode}}"),
                Line(_quantile(0.95, answer), "p95, {{mode}}"),
                unit="s",
                steps=above(30, 60),
            )
        )
        .with_panel(
            graph(
                "Duration of a request",
                "From its start to its end: kat_request_duration_seconds.",
                Line(_quantile(0.5, "kat_request_duration_seconds"), "median, {{mode}}"),
                Line(_quantile(0.95, "kat_request_duration_seconds"), "p95, {{mode}}"),
                unit="s",
            )
        )
    )
