"""Prometheus' rules: what is recorded (`level:metric:operations`), and what somebody is called for.

Every alert names the section of docs/operations.md that says what to do.
"""

from __future__ import annotations

from typing import Any, Final

from dashboards.objectives import BURN_RATES, OBJECTIVES, WINDOWS

RUNBOOK: Final = "docs/operations.md"
"""In this repository; whoever publishes the page puts its address in front."""

_RECORDED: Final = {
    "namespace_model:kat_requests:rate5m": (
        'sum by (namespace, model) (rate(kat_requests_total{status!="rejected"}[5m]))'
    ),
    "namespace_model_segment:kat_tokens:rate5m": "sum by (namespace, model, segment) (rate(kat_tokens_total[5m]))",
    "namespace_model:kat_requests_think_on:ratio_rate5m": (
        'sum by (namespace, model) (rate(kat_requests_decided_total{mode="on"}[5m]))'
        " / sum by (namespace, model) (rate(kat_requests_decided_total[5m]))"
    ),
    "namespace_model_mode:kat_time_to_first_answer_token_seconds:p95_rate5m": (
        "histogram_quantile(0.95, sum by (namespace, model, mode, le) "
        "(rate(kat_time_to_first_answer_token_seconds_bucket[5m])))"
    ),
    "namespace_service:kat_operator_missing_replicas:max": (
        "max by (namespace, service) (kat_operator_desired_replicas)"
        " - max by (namespace, service) (kat_operator_ready_replicas)"
    ),
}


def rules() -> dict[str, Any]:
    """The rules as Prometheus reads them, and the spec of a PrometheusRule."""
    return {
        "groups": [
            {"name": "kat-usage", "rules": [_record(name, expr) for name, expr in _RECORDED.items()]},
            {"name": "kat-objectives", "rules": _windows()},
            {"name": "kat-objective-alerts", "rules": _burns()},
            {"name": "kat-metering-alerts", "rules": _METERING},
            {"name": "kat-operator-alerts", "rules": _OPERATOR},
        ]
    }


def _record(name: str, expr: str) -> dict[str, Any]:
    return {"record": name, "expr": expr}


def _windows() -> list[dict[str, Any]]:
    return [
        _record(f"namespace_model:{name}:ratio_rate{window}", objective.ratio.replace("WINDOW", window))
        for name, objective in OBJECTIVES.items()
        for window in WINDOWS
    ]


def _burns() -> list[dict[str, Any]]:
    return [
        _alert(
            objective.alert,
            f"namespace_model:{name}:ratio_rate{burn.long} > {burn.factor} * {objective.allowed:g}"
            f" and namespace_model:{name}:ratio_rate{burn.short} > {burn.factor} * {objective.allowed:g}",
            wait=burn.wait,
            severity=burn.severity,
            window=burn.long,
            summary=objective.summary,
            description=(
                f"{{{{ $value | humanizePercentage }}}} over {burn.long}, where {objective.allowed:.1%} over 30 days "
                f"are allowed. {objective.description}"
            ),
        )
        for name, objective in OBJECTIVES.items()
        for burn in BURN_RATES
    ]


def _alert(
    name: str, expr: str, *, wait: str, severity: str, summary: str, description: str, window: str | None = None
) -> dict[str, Any]:
    """`critical` wakes somebody, `warning` is for working hours, `info` is for whoever looks."""
    return {
        "alert": name,
        "expr": expr,
        "for": wait,
        "labels": {"severity": severity} | ({"window": window} if window else {}),
        "annotations": {
            "summary": summary,
            "description": description,
            "runbook_url": f"{RUNBOOK}#{name.lower()}",
        },
    }


def _is(condition: str, status: str) -> str:
    """A condition of a service has that status, as the operator that acts tells it."""
    series = f'kat_operator_condition{{condition="{condition}", status="{status}"}}'
    return f"max by (namespace, service) ({series}) == 1"


_METERING: Final = [
    _alert(
        "KatOutboxStuck",
        "max by (namespace, pod) (kat_outbox_oldest_age_seconds) > 300",
        wait="5m",
        severity="warning",
        summary="Usage events of {{ $labels.pod }} do not reach metering",
        description="The oldest has been waiting for {{ $value | humanizeDuration }}. Nothing is lost yet.",
    ),
    _alert(
        "KatOutboxFilling",
        "max by (namespace, pod) (kat_outbox_events) > 50000",
        wait="5m",
        severity="critical",
        summary="The outbox of {{ $labels.pod }} fills up",
        description="{{ $value }} events; at KAT_OUTBOX_MAX_EVENTS (100,000 unless set) new requests get 503.",
    ),
    _alert(
        "KatEventsRejected",
        'sum by (namespace) (increase(kat_metering_events_total{result="rejected"}[1h])) > 0',
        wait="0m",
        severity="warning",
        summary="Metering refuses usage events",
        description="About {{ $value | humanize }} in the last hour; they lie in dead_letter with their reasons.",
    ),
    _alert(
        "KatIngestLate",
        "histogram_quantile(0.95, sum by (namespace, le) (rate(kat_metering_ingest_lag_seconds_bucket[10m]))) > 300",
        wait="10m",
        severity="warning",
        summary="Usage events arrive late",
        description="95 % of them within {{ $value | humanizeDuration }} of their request's end; a second is usual.",
    ),
    _alert(
        "KatRollupLate",
        "min by (namespace) (kat_metering_rollup_lag_seconds) > 900",
        wait="5m",
        severity="warning",
        summary="Reports and budgets are old",
        description="The roll-up is {{ $value | humanizeDuration }} behind. Nothing is lost.",
    ),
    _alert(
        "KatUsageUnpriced",
        "max by (namespace) (kat_metering_unpriced_tokens) > 0",
        wait="15m",
        severity="warning",
        summary="Usage of this month has no price",
        description="{{ $value | humanize }} tokens; they are in no cost, no budget and no statement.",
    ),
    _alert(
        "KatBudgetsExhausted",
        'max by (namespace) (kat_metering_budgets{state="exhausted"}) > 0',
        wait="1m",
        severity="info",
        summary="Monthly budgets are used up",
        description="{{ $value }} of tenants or keys, whose requests are refused until the month ends.",
    ),
]

_OPERATOR: Final = [
    _alert(
        "KatNoReplica",
        "max by (namespace, service) (kat_operator_ready_replicas) == 0"
        " and max by (namespace, service) (kat_operator_desired_replicas) > 0",
        wait="15m",
        severity="critical",
        summary="No replica of {{ $labels.namespace }}/{{ $labels.service }} serves",
        description="Replicas are wanted, and none has become ready for 15 minutes.",
    ),
    _alert(
        "KatReplicasMissing",
        "namespace_service:kat_operator_missing_replicas:max > 0",
        wait="30m",
        severity="warning",
        summary="Replicas of {{ $labels.namespace }}/{{ $labels.service }} are missing",
        description="{{ $value }} fewer than wanted serve, for 30 minutes.",
    ),
    _alert(
        "KatServiceNotReady",
        _is("Ready", "False"),
        wait="15m",
        severity="warning",
        summary="{{ $labels.namespace }}/{{ $labels.service }} is not ready",
        description="Too few replicas serve, or the operator can do nothing for it: the condition Ready says why.",
    ),
    _alert(
        "KatCapacityLimited",
        _is("CapacityLimited", "True"),
        wait="15m",
        severity="warning",
        summary="The pools of {{ $labels.namespace }}/{{ $labels.service }} can schedule no more replicas",
        description="More replicas are wanted than the nodes can hold, for 15 minutes.",
    ),
    _alert(
        "KatMetricsMissing",
        _is("MetricsAvailable", "False"),
        wait="10m",
        severity="warning",
        summary="The autoscaler has no metrics of {{ $labels.namespace }}/{{ $labels.service }}, or stale ones",
        description="What runs is held, whatever the load, for 10 minutes.",
    ),
    _alert(
        "KatOperatorIdle",
        "sum(kat_operator_leader) < 1",
        wait="5m",
        severity="critical",
        summary="No operator acts",
        description="Operators run and none holds the Lease: nothing is scaled, and nothing is mended.",
    ),
    _alert(
        "KatReconcileFailing",
        "sum by (reason) (increase(kat_operator_reconcile_failures_total[10m])) > 0",
        wait="15m",
        severity="warning",
        summary="The operator cannot keep a service: {{ $labels.reason }}",
        description="About {{ $value | humanize }} looks in 10 minutes failed; each is tried again.",
    ),
]
