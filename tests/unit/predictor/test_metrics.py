"""The metrics by name: dashboards and the operator read them."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from kat.usage_event import Mode
from kat_predictor.metrics import Metrics


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(registry)


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("kat_requests", ("model", "mode", "mode_source", "status")),
        ("kat_requests_decided", ("model", "mode")),
        ("kat_requests_overloaded", ("model",)),
        ("kat_tokens", ("model", "mode", "segment")),
        ("kat_requests_in_flight", ("model", "mode")),
        ("kat_requests_queued", ("model",)),
        ("kat_time_to_first_token_seconds", ("model", "mode")),
        ("kat_time_to_first_answer_token_seconds", ("model", "mode")),
        ("kat_inter_token_latency_seconds", ("model", "mode")),
        ("kat_request_duration_seconds", ("model", "mode")),
        ("kat_think_budget_exhausted", ()),
        ("kat_kv_cache_usage_ratio", ()),
        ("kat_outbox_events", ()),
        ("kat_outbox_oldest_age_seconds", ()),
        ("kat_outbox_rejected", ()),
    ],
)
def test_a_metric_has_the_labels_that_queries_rely_on(metrics: Metrics, name: str, labels: tuple[str, ...]) -> None:
    metric = next(value for value in vars(metrics).values() if getattr(value, "_name", None) == name)
    assert metric._labelnames == labels


def test_the_series_of_a_mode_are_resolved_once(metrics: Metrics) -> None:
    assert metrics.series("tiny", Mode.ON) is metrics.series("tiny", Mode.ON)


def test_counters_of_a_served_model_begin_at_zero(metrics: Metrics, registry: CollectorRegistry) -> None:
    """Of a series that begins at 1 no rate shows the first request."""
    metrics.model_is_served("tiny")
    begun = [registry.get_sample_value("kat_requests_decided_total", {"model": "tiny", "mode": mode}) for mode in Mode]
    assert begun == [0, 0, None]
    assert registry.get_sample_value("kat_requests_overloaded_total", {"model": "tiny"}) == 0


def test_gauges_are_read_when_they_are_scraped(metrics: Metrics, registry: CollectorRegistry) -> None:
    backlog = [3]
    metrics.watch_outbox(lambda: backlog[0], lambda: 1.5)
    metrics.watch_queue("tiny", lambda: 2)
    metrics.watch_kv_cache(lambda: 0.25)
    backlog[0] = 4
    assert [
        registry.get_sample_value("kat_outbox_events"),
        registry.get_sample_value("kat_outbox_oldest_age_seconds"),
        registry.get_sample_value("kat_requests_queued", {"model": "tiny"}),
        registry.get_sample_value("kat_kv_cache_usage_ratio"),
    ] == [4, 1.5, 2, 0.25]


def test_rejected_events_are_counted(metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics.events_rejected(2)
    assert registry.get_sample_value("kat_outbox_rejected_total") == 2


def test_exhausted_thinking_budgets_are_counted(metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics.think_budget_was_exhausted()
    assert registry.get_sample_value("kat_think_budget_exhausted_total") == 1


def test_every_metric_says_what_it_is(metrics: Metrics, registry: CollectorRegistry) -> None:
    described = [line for line in generate_latest(registry).decode().splitlines() if line.startswith("# HELP")]
    assert all(line.endswith(".") for line in described)
