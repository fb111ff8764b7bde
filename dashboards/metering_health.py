"""Metering health: whether every event arrives, soon, and can be priced."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from dashboards.boards import board, label_variable, postgres_datasource, prometheus_datasource
from dashboards.panels import Line, above, graph, number, sql_table

_OF: Final = 'namespace=~"$namespace"'
_INGEST: Final = f"sum by (le) (rate(kat_metering_ingest_lag_seconds_bucket{{{_OF}}}[$__rate_interval]))"

DEAD_LETTERS: Final = """\
SELECT reason, count(*) AS letters, min(received_at) AS first, max(received_at) AS last
FROM dead_letter
WHERE $__timeFilter(received_at)
GROUP BY reason
ORDER BY letters DESC
LIMIT 50
"""


def metering_health() -> Dashboard:
    return (
        board("kat-metering-health", "Metering health", "Whether every event arrives, soon, and can be priced.")
        .with_variable(prometheus_datasource())
        .with_variable(postgres_datasource())
        .with_variable(label_variable("namespace", "Namespace", "kat_outbox_events"))
        .with_panel(
            number(
                "Events on their way",
                "Usage events that metering has not acknowledged yet, in all outboxes: kat_outbox_events.",
                Line(f"sum(kat_outbox_events{{{_OF}}})"),
                unit="short",
                steps=above(1_000, 50_000),
            )
        )
        .with_panel(
            number(
                "Oldest of them",
                "How long the oldest one has been waiting: kat_outbox_oldest_age_seconds.",
                Line(f"max(kat_outbox_oldest_age_seconds{{{_OF}}})"),
                unit="s",
                steps=above(60, 300),
            )
        )
        .with_panel(
            number(
                "Ingest lag",
                "95th percentile from the end of a request to the commit of its event: "
                "kat_metering_ingest_lag_seconds.",
                Line(f"histogram_quantile(0.95, {_INGEST})"),
                unit="s",
                steps=above(10, 300),
            )
        )
        .with_panel(
            number(
                "Age of reports",
                "How old the moment is up to which everything is in the roll-up: kat_metering_rollup_lag_seconds.",
                Line(f"max(kat_metering_rollup_lag_seconds{{{_OF}}})"),
                unit="s",
                steps=above(60, 900),
            )
        )
        .with_panel(
            number(
                "Dead letters",
                "Events of the last hour that were refused, and are kept with the reason: kat_metering_events_total.",
                Line(f'sum(increase(kat_metering_events_total{{{_OF}, result="rejected"}}[1h]))'),
                unit="short",
                steps=above(1, 100),
            )
        )
        .with_panel(
            number(
                "Tokens without a price",
                "Of this month; reports show them as unpriced, never as free: kat_metering_unpriced_tokens.",
                Line(f"max(kat_metering_unpriced_tokens{{{_OF}}})"),
                unit="short",
                steps=above(1, 1_000_000),
            )
        )
        .with_row(Row("Outboxes"))
        .with_panel(
            graph(
                "Events on their way, by replica",
                "At KAT_OUTBOX_MAX_EVENTS (100,000) new requests get 503: kat_outbox_events.",
                Line(f"max by (pod) (kat_outbox_events{{{_OF}}})", "{{pod}}"),
                unit="short",
                steps=above(50_000, 100_000),
            )
        )
        .with_panel(
            graph(
                "Age of the oldest, by replica",
                "0 where there is none: kat_outbox_oldest_age_seconds.",
                Line(f"max by (pod) (kat_outbox_oldest_age_seconds{{{_OF}}})", "{{pod}}"),
                unit="s",
                steps=above(60, 300),
            )
        )
        .with_row(Row("Ingest"))
        .with_panel(
            graph(
                "Events received",
                "A second, by what became of them: kat_metering_events_total.",
                Line(f"sum by (result) (rate(kat_metering_events_total{{{_OF}}}[$__rate_interval]))", "{{result}}"),
                unit="ops",
                stacked=True,
            )
        )
        .with_panel(
            graph(
                "Ingest lag over time",
                "From the end of a request to the commit of its event: kat_metering_ingest_lag_seconds.",
                *(
                    Line(f"histogram_quantile({share}, {_INGEST})", name)
                    for share, name in ((0.5, "median"), (0.95, "p95"), (0.99, "p99"))
                ),
                unit="s",
                steps=above(10, 300),
            )
        )
        .with_panel(
            graph(
                "Age of reports over time",
                "Not known before the first pass: kat_metering_rollup_lag_seconds.",
                Line(f"max by (pod) (kat_metering_rollup_lag_seconds{{{_OF}}})", "{{pod}}"),
                unit="s",
                steps=above(60, 900),
            )
        )
        .with_panel(
            graph(
                "Events refused, as predictors count them",
                "A second; metering keeps them as dead letters: kat_outbox_rejected_total.",
                Line(f"sum by (pod) (rate(kat_outbox_rejected_total{{{_OF}}}[$__rate_interval]))", "{{pod}}"),
                unit="ops",
                steps=above(0.001, 1),
            )
        )
        .with_row(Row("Prices and budgets"))
        .with_panel(
            graph(
                "Budgets by state",
                "Monthly budgets of tenants and keys: within it, beyond the share that turns thinking off, or "
                "exhausted. kat_metering_budgets.",
                Line(f"max by (state) (kat_metering_budgets{{{_OF}}})", "{{state}}"),
                unit="short",
                stacked=True,
            )
        )
        .with_panel(
            sql_table(
                "Dead letters by reason",
                "What was refused in the time chosen: the table dead_letter.",
                DEAD_LETTERS,
                unit="short",
                units={"first": "dateTimeAsIso", "last": "dateTimeAsIso"},
            )
        )
    )
