"""A predictor's exposition is read as Prometheus' own parser reads it."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from kat.usage_event import Mode, ModeSource, Segment, Status, Tokens
from kat_operator.autoscaler.exposition import samples_in
from kat_operator.autoscaler.series import SOURCES, Series, Signal
from kat_predictor.metrics import Metrics


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(registry)


def read(registry: CollectorRegistry) -> dict[Series, float]:
    return samples_in(generate_latest(registry).decode())


def test_every_signal_but_the_age_is_found_in_what_a_predictor_exposes(
    registry: CollectorRegistry, metrics: Metrics
) -> None:
    """A renamed metric would leave the autoscaler blind."""
    metrics.model_is_served("tiny")
    metrics.watch_queue("tiny", lambda: 0)
    assert {series.signal for series in read(registry)} == set(Signal) - {Signal.AGE}


def test_completion_tokens_are_those_that_are_generated(registry: CollectorRegistry, metrics: Metrics) -> None:
    metrics.request_ended(
        "tiny",
        Mode.ON,
        source=ModeSource.MODEL,
        status=Status.OK,
        tokens=Tokens(prompt=1_000, prompt_cached=500, judge=1, think=2, answer=4, control=8),
        duration_seconds=3.0,
    )
    assert read(registry)[Series(Signal.TOKENS, Mode.ON)] == 15


def test_models_of_one_replica_add_up(registry: CollectorRegistry, metrics: Metrics) -> None:
    for model in ("one", "two"):
        metrics.series(model, Mode.ON).in_flight.inc()
    assert read(registry)[Series(Signal.IN_FLIGHT, Mode.ON)] == 2


def test_buckets_keep_their_bounds(registry: CollectorRegistry, metrics: Metrics) -> None:
    metrics.series("tiny", Mode.OFF).time_to_first_answer_token.observe(0.2)
    read_buckets = read(registry)
    assert [read_buckets[Series(Signal.FIRST_ANSWERS, Mode.OFF, bound)] for bound in (0.1, 0.25, inf)] == [0, 1, 1]


def test_what_is_no_number_is_left_out(registry: CollectorRegistry, metrics: Metrics) -> None:
    metrics.watch_kv_cache(lambda: float("nan"))
    assert Series(Signal.KV_CACHE) not in read(registry)


@pytest.mark.parametrize("text", ["", "# HELP kat_x y.\n", "vllm:num_requests_running 3\n", "kat_requests_total 1\n"])
def test_what_is_no_signal_is_passed_over(text: str) -> None:
    assert samples_in(text) == {}


@given(model=st.text(min_size=1), values=st.lists(st.integers(0, 10**9), min_size=3, max_size=3))
def test_series_are_read_as_the_librarys_parser_reads_them(model: str, values: list[int]) -> None:
    """Whatever the model is called."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    for mode, value in zip(Mode, values, strict=True):
        metrics.requests_in_flight.labels(model, mode).set(value)
        metrics.tokens.labels(model, mode, Segment.THINK).inc(value)
        metrics.tokens.labels(model, mode, Segment.PROMPT).inc(7)
    text = generate_latest(registry).decode()
    expected = {
        (sample.name, sample.labels["mode"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "kat_requests_in_flight" or sample.labels.get("segment") == Segment.THINK
    }
    read_by_name = {
        (SOURCES[series.signal].metric, series.mode): value
        for series, value in samples_in(text).items()
        if series.signal in {Signal.IN_FLIGHT, Signal.TOKENS}
    }
    # The timestamps at which counters were created are no counters.
    assert read_by_name == {key: value for key, value in expected.items() if not key[0].endswith("_created")}
