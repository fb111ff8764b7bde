"""Tenants and savings: who used how much, what it cost, and what a baseline would have cost."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from dashboards import usage_sql as sql
from dashboards.boards import board, postgres_datasource, sql_variable
from dashboards.panels import above, sql_graph, sql_number, sql_table


def tenants() -> Dashboard:
    return (
        board(
            "kat-tenants",
            "Tenants and savings",
            "Who used how much, what it cost, and what a baseline would have cost. Costs are before discounts; "
            "statements are metering's. Whoever sees this sees every tenant.",
            since="now-30d",
            refresh="5m",
        )
        .with_variable(postgres_datasource())
        .with_variable(sql_variable("tenant", "Tenant", sql.TENANTS))
        .with_variable(sql_variable("model", "Model", sql.MODELS))
        .with_variable(sql_variable("baseline", "Baseline", sql.BASELINES, several=False))
        .with_variable(sql_variable("currency", "Currency", sql.CURRENCY, several=False))
        .with_panel(
            sql_number(
                "Cost, $currency", "At the price book, before discounts: usage_hourly by price.", sql.COST, unit="none"
            )
        )
        .with_panel(
            sql_number(
                "Cost of reasoning",
                "Share of the cost that judge and think tokens make.",
                sql.COST_OF_THINKING,
                unit="percentunit",
            )
        )
        .with_panel(sql_number("Requests", "That ended and used something: usage_hourly.", sql.REQUESTS, unit="short"))
        .with_panel(
            sql_number(
                "Tokens without a price",
                "They are in no cost on this page, and never free: `kat prices import FILE` prices them.",
                sql.UNPRICED,
                unit="short",
                steps=above(1, 1_000_000),
            )
        )
        .with_panel(
            sql_number(
                "Saved at equal tokens, $currency",
                "Method L1: our tokens at $baseline's prices, less their cost. Requests that failed, and usage without "
                "a price on either side, take no part. The console has L2 and L3, with their intervals.",
                sql.SAVED,
                unit="none",
            )
        )
        .with_panel(
            sql_number(
                "Saved at equal tokens, share",
                "Method L1, of what $baseline would have cost. The console has L2 and L3, with their intervals.",
                sql.SAVED_SHARE,
                unit="percentunit",
            )
        )
        .with_row(Row("Cost"))
        .with_panel(
            sql_graph(
                "Cost a day by tenant, $currency",
                "At the price book, before discounts; days in UTC.",
                sql.COST_BY_DAY,
                unit="none",
                stacked=True,
            )
        )
        .with_panel(
            sql_graph(
                "Cost a day by segment, $currency",
                "Judge and think are what reasoning costs; days in UTC.",
                sql.COST_BY_SEGMENT,
                unit="none",
                stacked=True,
            )
        )
        .with_panel(
            sql_table(
                "Top tenants, $currency",
                "The 50 with the highest cost in the time chosen; `thinks` is the share of requests that think.",
                sql.TOP_TENANTS,
                unit="none",
                units={
                    "requests": "short",
                    "thinks": "percentunit",
                    "completion tokens": "short",
                    "cost of reasoning": "percentunit",
                    "unpriced tokens": "short",
                },
                wide=True,
            )
        )
        .with_panel(
            sql_table(
                "Budgets of this month, $currency",
                "Spent since the first of the month in UTC, whatever time is chosen; beyond `think-off at`, requests "
                "in mode auto do not think, and at 100 % they are refused.",
                sql.BUDGETS,
                unit="none",
                units={"share": "percentunit", "think-off at": "percentunit"},
                steps=above(0.8, 1),
            )
        )
        .with_panel(
            sql_graph(
                "Requests that think, by tenant",
                "Share of requests in mode on, a day in UTC.",
                sql.THINK_ON_BY_DAY,
                unit="percentunit",
                bars=False,
            )
        )
        .with_row(Row("Savings against $baseline"))
        .with_panel(
            sql_graph(
                "Both sides at equal tokens, $currency",
                "Method L1: what requests cost, and what $baseline would have cost for as many tokens; a day in UTC.",
                sql.TWO_SIDES_BY_DAY,
                unit="none",
            )
        )
        .with_panel(
            sql_table(
                "Tokens of $baseline for each of ours",
                "Measured on shadow samples, ratio of sums, with a 95 % interval by the normal approximation (reports "
                "bootstrap theirs); by mode and task, 30 samples at least.",
                sql.MEASURED_RATIOS,
                unit="none",
                units={"n": "short"},
            )
        )
    )
