"""The Prometheus metrics of metering."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from kat.directory import BudgetState

_LAG_BUCKETS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1_800, 3_600, 21_600, 86_400)
"""Seconds: from the outbox's usual second to a day of outage."""


class _BatchHistogram(Histogram):
    """A histogram that takes many values at once: one by one, they would cost a tenth of the ingest."""

    def observe_all(self, amounts: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
        self._sum.inc(float(amounts.sum()))
        counts = np.bincount(np.searchsorted(self._upper_bounds, amounts), minlength=len(self._upper_bounds))
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(int(count))


class Metrics:
    """One instance a service, on a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        events = Counter(
            "kat_metering_events",
            "Usage events received, by what became of them.",
            ["result"],
            registry=self.registry,
        )
        # All three exist from the start, so that a rate is right from the first event on.
        self._new, self._duplicate, self._rejected = (
            events.labels(result) for result in ("new", "duplicate", "rejected")
        )
        self._ingest_lag = _BatchHistogram(
            "kat_metering_ingest_lag_seconds",
            "From the end of a request to the commit of its usage event.",
            buckets=_LAG_BUCKETS,
            registry=self.registry,
        )
        self._as_of: datetime | None = None
        Gauge(
            "kat_metering_rollup_lag_seconds",
            "Age of the moment up to which every acknowledged event is in the roll-up. NaN before the first pass.",
            registry=self.registry,
        ).set_function(self._rollup_lag)
        self._unpriced_tokens = Gauge(
            "kat_metering_unpriced_tokens",
            "Tokens of this month that no price covers. NaN before the first look.",
            registry=self.registry,
        )
        self._unpriced_tokens.set(float("nan"))
        self._budgets = Gauge(
            "kat_metering_budgets",
            "Monthly budgets of tenants and keys, by state.",
            ["state"],
            registry=self.registry,
        )

    def ingested(self, *, new: int, duplicate: int, rejected: int, lags: Sequence[float]) -> None:
        """Count one committed delivery; `lags` are seconds from the end of each request to the commit."""
        self._new.inc(new)
        self._duplicate.inc(duplicate)
        self._rejected.inc(rejected)
        # A predictor's clock may run ahead of ours.
        self._ingest_lag.observe_all(np.maximum(lags, 0.0))

    def rolled_up(self, as_of: datetime) -> None:
        self._as_of = as_of

    def looked_at_budgets(self, states: Mapping[BudgetState, int], *, unpriced_tokens: int) -> None:
        """Tell how many budgets are in which state, and how many tokens of this month have no price."""
        self._unpriced_tokens.set(unpriced_tokens)
        for state in BudgetState:
            self._budgets.labels(state).set(states.get(state, 0))

    def _rollup_lag(self) -> float:
        if self._as_of is None:
            return float("nan")
        return max(0.0, (datetime.now(UTC) - self._as_of).total_seconds())
