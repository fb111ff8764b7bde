"""The predictor's Prometheus metrics. No tenant is ever a label: tenants are metering's subject."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from kat.usage_event import Mode, ModeSource, Segment, Status, Tokens

_TTFT_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2.5, 5, 10, 20, 40, 60)
# The answer comes after the thinking, which may take minutes.
_TTFA_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300, 600)
_INTER_TOKEN_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5)
_DURATION_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300, 600)


class ModeSeries:
    """The series of one (model, mode), resolved once: observing needs no look-up of label values."""

    __slots__ = (
        "decided",
        "duration",
        "in_flight",
        "inter_token_latency",
        "time_to_first_answer_token",
        "time_to_first_token",
        "tokens",
    )

    def __init__(self, metrics: Metrics, model: str, mode: Mode) -> None:
        labels = (model, mode)
        self.decided = None if mode is Mode.UNDECIDED else metrics.requests_decided.labels(*labels)
        self.in_flight = metrics.requests_in_flight.labels(*labels)
        self.time_to_first_token = metrics.time_to_first_token.labels(*labels)
        self.time_to_first_answer_token = metrics.time_to_first_answer_token.labels(*labels)
        self.inter_token_latency = metrics.inter_token_latency.labels(*labels)
        self.duration = metrics.request_duration.labels(*labels)
        self.tokens = {segment: metrics.tokens.labels(*labels, segment) for segment in Segment}


class Metrics:
    """All `kat_*` metrics of the predictor, on one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        mode = ("model", "mode")
        self.requests = Counter(
            "kat_requests_total",
            "Requests that ended, by who chose the mode and how they ended.",
            ("model", "mode", "mode_source", "status"),
            registry=registry,
        )
        self.requests_decided = Counter(
            "kat_requests_decided_total",
            "Requests whose mode became known, by judgement or by force, when it did; most still run then.",
            mode,
            registry=registry,
        )
        self.requests_overloaded = Counter(
            "kat_requests_overloaded_total",
            "Requests refused because this replica and its queue were full; no tenant's own limit is in it.",
            ("model",),
            registry=registry,
        )
        self.tokens = Counter(
            "kat_tokens_total",
            "Tokens of requests that ended, by segment; the segments are disjoint.",
            (*mode, "segment"),
            registry=registry,
        )
        self.requests_in_flight = Gauge(
            "kat_requests_in_flight",
            "Requests that run now; mode is 'undecided' until it is known.",
            mode,
            registry=registry,
        )
        self.requests_queued = Gauge(
            "kat_requests_queued", "Requests accepted and waiting for a place to run.", ("model",), registry=registry
        )
        self.time_to_first_token = Histogram(
            "kat_time_to_first_token_seconds",
            "From the start of a request to its first token of any kind.",
            mode,
            buckets=_TTFT_BUCKETS,
            registry=registry,
        )
        self.time_to_first_answer_token = Histogram(
            "kat_time_to_first_answer_token_seconds",
            "From the start of a request to the first token of its answer.",
            mode,
            buckets=_TTFA_BUCKETS,
            registry=registry,
        )
        self.inter_token_latency = Histogram(
            "kat_inter_token_latency_seconds",
            "Time between tokens that follow one another; one observation a chunk.",
            mode,
            buckets=_INTER_TOKEN_BUCKETS,
            registry=registry,
        )
        self.request_duration = Histogram(
            "kat_request_duration_seconds",
            "From the start of a request to its end.",
            mode,
            buckets=_DURATION_BUCKETS,
            registry=registry,
        )
        self.think_budget_exhausted = Counter(
            "kat_think_budget_exhausted_total", "Requests whose thinking was closed at its budget.", registry=registry
        )
        self.kv_cache_usage = Gauge(
            "kat_kv_cache_usage_ratio", "Share of the engine's KV cache in use, 0 to 1.", registry=registry
        )
        self.outbox_events = Gauge(
            "kat_outbox_events", "Usage events that metering has not acknowledged yet.", registry=registry
        )
        self.outbox_oldest_age = Gauge(
            "kat_outbox_oldest_age_seconds",
            "How long the oldest unacknowledged usage event has been waiting; 0 when there is none.",
            registry=registry,
        )
        self.outbox_rejected = Counter(
            "kat_outbox_rejected_total",
            "Usage events that metering refused, and keeps as dead letters.",
            registry=registry,
        )
        self._series: dict[tuple[str, Mode], ModeSeries] = {}

    def series(self, model: str, mode: Mode) -> ModeSeries:
        """The series of one (model, mode); made at the first call, the same object ever after.

        `model` must be a served name, never what a client sent: label values are for ever.
        """
        key = (model, mode)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = ModeSeries(self, model, mode)
        return series

    def model_is_served(self, model: str) -> None:
        """Begin the model's counters at 0: of a series that begins at 1, no rate shows the first request."""
        self.requests_overloaded.labels(model)
        for mode in Mode:
            self.series(model, mode)

    def request_ended(
        self,
        model: str,
        mode: Mode,
        *,
        source: ModeSource,
        status: Status,
        tokens: Tokens,
        duration_seconds: float,
    ) -> None:
        """Count a request that ran, however it ended."""
        self.requests.labels(model, mode, source, status).inc()
        series = self.series(model, mode)
        series.duration.observe(duration_seconds)
        for segment, counter in series.tokens.items():
            if count := getattr(tokens, segment):
                counter.inc(count)

    def request_rejected(self, model: str) -> None:
        """Count a request that was refused before it used anything."""
        self.requests.labels(model, Mode.UNDECIDED, ModeSource.MODEL, Status.REJECTED).inc()

    def replica_was_full(self, model: str) -> None:
        """Count a request that was refused because there was no room for it here."""
        self.requests_overloaded.labels(model).inc()

    def think_budget_was_exhausted(self) -> None:
        """Count a request whose thinking was closed at its budget."""
        self.think_budget_exhausted.inc()

    def events_rejected(self, count: int) -> None:
        """Count events that metering put among its dead letters."""
        self.outbox_rejected.inc(count)

    def watch_queue(self, model: str, queued: Callable[[], int]) -> None:
        """Read the queue's length at each scrape."""
        self.requests_queued.labels(model).set_function(queued)

    def watch_kv_cache(self, usage: Callable[[], float]) -> None:
        """Read the KV cache's usage, 0 to 1, at each scrape."""
        self.kv_cache_usage.set_function(usage)

    def watch_outbox(self, events: Callable[[], int], oldest_age_seconds: Callable[[], float]) -> None:
        """Read the outbox's backlog at each scrape."""
        self.outbox_events.set_function(events)
        self.outbox_oldest_age.set_function(oldest_age_seconds)
