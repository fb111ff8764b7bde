"""How spans are made and handed on; what is in them is in test_spans and in api/test_traces."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from kat_predictor.request_trace import RequestTrace
from kat_predictor.tracing import Tracing, resource_of
from tests.fakes.spans import MemoryTracing

BEGAN_NS = 1_700_000_000_000_000_000


class HungExporter(SpanExporter):
    """Takes the first batch and never returns, until it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        self.let_go.wait()
        return SpanExportResult.FAILURE


@pytest.fixture
def hung() -> Generator[HungExporter, None, None]:
    exporter = HungExporter()
    yield exporter
    exporter.let_go.set()


def _trace() -> RequestTrace:
    return RequestTrace(
        operation="chat", id_prefix="chatcmpl-", path="/v1/chat/completions", server=None, began=5.0, began_ns=BEGAN_NS
    )


def _batching(processor: BatchSpanProcessor) -> Tracing:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return Tracing(provider)


def _end(tracing: Tracing) -> None:
    tracing.ended(_trace(), tracing.parent({}), 7.5)


def test_a_span_lasts_from_the_beginning_of_its_request_to_its_end() -> None:
    tracing = MemoryTracing()
    _end(tracing)
    assert (tracing.span.start_time, tracing.span.end_time) == (BEGAN_NS, BEGAN_NS + 2_500_000_000)


def test_a_request_without_a_parent_begins_a_trace() -> None:
    tracing = MemoryTracing()
    _end(tracing)
    assert tracing.span.parent is None


def test_a_parent_that_cannot_be_read_is_none() -> None:
    tracing = MemoryTracing()
    tracing.ended(_trace(), tracing.parent({"traceparent": "not a trace"}), 7.5)
    assert tracing.span.parent is None


async def test_closing_hands_on_what_waits() -> None:
    exporter = InMemorySpanExporter()
    tracing = _batching(BatchSpanProcessor(exporter, schedule_delay_millis=3_600_000))
    _end(tracing)
    await tracing.close(10)
    assert len(exporter.get_finished_spans()) == 1


async def test_closing_waits_no_longer_than_its_deadline_for_a_collector_that_hangs(hung: HungExporter) -> None:
    tracing = _batching(BatchSpanProcessor(hung))
    _end(tracing)
    async with asyncio.timeout(10):
        await tracing.close(0.05)


async def test_spans_wait_in_a_bounded_queue_and_the_rest_is_dropped(hung: HungExporter) -> None:
    tracing = _batching(BatchSpanProcessor(hung, max_queue_size=4, max_export_batch_size=1))
    for _ in range(100):
        _end(tracing)
    hung.let_go.set()
    await tracing.close(10)
    # One may have been on its way already.
    assert 4 <= hung.taken <= 5


@pytest.mark.parametrize(
    ("environment", "attribute"),
    [
        ({}, ("service.name", "kat-predictor")),
        ({}, ("service.instance.id", "pod-1")),
        ({"OTEL_SERVICE_NAME": "kat-prod"}, ("service.name", "kat-prod")),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=blue"}, ("service.instance.id", "blue")),
        ({"OTEL_RESOURCE_ATTRIBUTES": "k8s.namespace.name=prod"}, ("k8s.namespace.name", "prod")),
    ],
    ids=["named", "instance", "renamed", "other instance", "more of it"],
)
def test_the_sender_is_named_unless_the_standard_variables_say_otherwise(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], attribute: tuple[str, str]
) -> None:
    for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert attribute in resource_of("pod-1").attributes.items()
