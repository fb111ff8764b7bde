"""The metrics of a whole platform at work, to scrape: the real classes, moved on by a script at each scrape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

import kat_metering.metrics
import kat_operator.metrics
import kat_operator.reasons
import kat_predictor.metrics
from kat.directory import BudgetState
from kat.usage_event import Mode, ModeSource, Status, Tokens
from kat_operator.autoscaler.policy import Reason
from kat_operator.conditions import failure
from kat_operator.kinds import Key
from kat_operator.status import AutoThinkServiceStatus

MODEL = "KAT-V1-40B"


class _AtEachScrape(Collector):
    """Registered before all others, so that these tell what the step has done."""

    def __init__(self, step: Callable[[], None]) -> None:
        self._step = step

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> list[Metric]:
        self._step()
        return []


def predictor() -> CollectorRegistry:
    registry = CollectorRegistry()

    def step() -> None:
        for mode, source in (
            (Mode.ON, ModeSource.MODEL),
            (Mode.OFF, ModeSource.REQUEST),
            (Mode.OFF, ModeSource.BUDGET),
        ):
            series = metrics.series(MODEL, mode)
            assert series.decided is not None
            series.decided.inc()
            series.in_flight.set(2)
            series.time_to_first_token.observe(0.2)
            series.time_to_first_answer_token.observe(1.0)
            series.inter_token_latency.observe(0.02)
            for status in (Status.OK, Status.ERROR):
                metrics.request_ended(
                    MODEL,
                    mode,
                    source=source,
                    status=status,
                    tokens=Tokens(prompt=9, judge=3, think=50 if mode is Mode.ON else 0, answer=20, control=2),
                    duration_seconds=2.0,
                )
        metrics.request_rejected(MODEL)
        metrics.replica_was_full(MODEL)
        metrics.think_budget_was_exhausted()
        metrics.events_rejected(1)

    registry.register(_AtEachScrape(step))
    metrics = kat_predictor.metrics.Metrics(registry)
    metrics.model_is_served(MODEL)
    metrics.watch_queue(MODEL, lambda: 3)
    metrics.watch_kv_cache(lambda: 0.5)
    metrics.watch_outbox(lambda: 7, lambda: 0.4)
    return registry


def metering() -> CollectorRegistry:
    metrics = kat_metering.metrics.Metrics()

    def step() -> None:
        metrics.ingested(new=5, duplicate=1, rejected=1, lags=[0.5] * 5)
        metrics.rolled_up(datetime.now(UTC))
        metrics.looked_at_budgets(Counter({BudgetState.OK: 3, BudgetState.EXHAUSTED: 1}), unpriced_tokens=10)

    return _after_each_scrape(metrics.registry, step)


def operator() -> CollectorRegistry:
    metrics = kat_operator.metrics.Metrics()
    nothing_known = failure(
        AutoThinkServiceStatus(),
        generation=1,
        now=datetime.now(UTC),
        reason=kat_operator.reasons.Reason.KSERVE_MISSING,
        message="",
    )

    def step() -> None:
        for reason in (Reason.STEADY, Reason.CAPACITY, Reason.METRICS_MISSING, Reason.MAXIMUM):
            metrics.decided(Key("default", "kat"), replicas=3, ready=2, reason=reason)
        metrics.told(Key("default", "kat"), nothing_known.status.conditions)
        metrics.reconciled(0.02)
        metrics.failed("ReconcileFailed")
        metrics.wrote("InferenceService")
        metrics.leading(yes=True)

    return _after_each_scrape(metrics.registry, step)


def _after_each_scrape(registry: CollectorRegistry, step: Callable[[], None]) -> CollectorRegistry:
    step()
    registry.register(_AtEachScrape(step))
    return registry


@contextmanager
def busy_platform() -> Iterator[dict[str, Mapping[str, str]]]:
    """Two predictors, metering and the operator; their addresses with the labels that Kubernetes would give them."""
    parts = {"kat-0": predictor(), "kat-1": predictor(), "metering-0": metering(), "operator-0": operator()}
    with ExitStack() as stack:
        targets: dict[str, Mapping[str, str]] = {}
        for pod, registry in parts.items():
            server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
            stack.callback(thread.join)
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            targets[f"127.0.0.1:{server.server_port}"] = {"namespace": "default", "pod": pod}
        yield targets
