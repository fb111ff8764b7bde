"""The service's metrics."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from kat_metering.metrics import Metrics


def value(metrics: Metrics, name: str, **labels: str) -> float:
    found = metrics.registry.get_sample_value(name, labels)
    assert found is not None, name
    return found


def test_every_result_is_there_before_the_first_event() -> None:
    metrics = Metrics()
    results = [value(metrics, "kat_metering_events_total", result=r) for r in ("new", "duplicate", "rejected")]
    assert results == [0, 0, 0]


def test_a_clock_ahead_of_ours_makes_no_negative_lag() -> None:
    metrics = Metrics()
    metrics.ingested(new=2, duplicate=0, rejected=0, lags=[-5.0, 2.0])
    assert value(metrics, "kat_metering_ingest_lag_seconds_sum") == 2
    assert value(metrics, "kat_metering_ingest_lag_seconds_count") == 2


def test_many_lags_are_counted_as_if_one_by_one() -> None:
    lags = [0.0, 0.1, 0.1000001, 0.3, 0.3, 59.0, 60.0, 1e9]
    together, singly = Metrics(), Metrics()
    together.ingested(new=8, duplicate=0, rejected=0, lags=lags)
    for lag in lags:
        singly.ingested(new=1, duplicate=0, rejected=0, lags=[lag])
    for bound, count in [("0.1", 2), ("0.25", 3), ("0.5", 5), ("60.0", 7), ("+Inf", 8)]:
        for metrics in (together, singly):
            assert value(metrics, "kat_metering_ingest_lag_seconds_bucket", le=bound) == count


def test_a_delivery_without_an_event_has_no_lag() -> None:
    metrics = Metrics()
    metrics.ingested(new=0, duplicate=0, rejected=1, lags=[])
    assert value(metrics, "kat_metering_ingest_lag_seconds_count") == 0


def test_the_rollups_lag_is_unknown_until_it_has_run_and_grows_while_it_does_not() -> None:
    metrics = Metrics()
    assert math.isnan(value(metrics, "kat_metering_rollup_lag_seconds"))
    metrics.rolled_up(datetime.now(UTC) - timedelta(seconds=100))
    first = value(metrics, "kat_metering_rollup_lag_seconds")
    assert 100 <= first < value(metrics, "kat_metering_rollup_lag_seconds") < 200
