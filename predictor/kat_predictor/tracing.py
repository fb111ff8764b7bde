"""Traces by OpenTelemetry, exported over OTLP (HTTP, protobuf). Imported only where they are turned on.

What is exported, where to and how much of it is set by the standard variables OTEL_*, which the SDK reads itself. Spans
are made when their request has ended, and handed to a bounded queue that a thread of its own empties: a collector that
is away costs spans, never a request.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from importlib.metadata import version

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import extract
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode

from kat_predictor.request_trace import CompletionTrace, RequestTrace
from kat_predictor.spans import span_end, span_start

_log = structlog.get_logger(__name__)


class Tracing:
    """Makes spans of requests.

    Args:
        provider: Samples, collects and exports them. It is ours alone, never the process-wide one: an engine may have
            traces of its own.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("kat_predictor", version("kat-serving"))

    def parent(self, headers: Mapping[str, str]) -> Context:
        """Whose child a request is, by its headers (W3C Trace Context unless OTEL_PROPAGATORS says otherwise)."""
        return extract(headers, context=Context())

    def ended(self, trace: RequestTrace, parent: Context, moment: float) -> None:
        """A request has ended: make its span.

        A request of KServe's protocol may hold many prompts; each was accounted by itself, and gets a span of its own.
        """
        described: Sequence[CompletionTrace | None] = trace.completions or (None,)
        for completion in described:
            self._span(trace, completion, parent, moment)

    def _span(self, trace: RequestTrace, completion: CompletionTrace | None, parent: Context, moment: float) -> None:
        start = span_start(trace, completion)
        span = self._tracer.start_span(
            start.name,
            context=parent,
            kind=SpanKind.SERVER,
            attributes=start.attributes,
            start_time=trace.began_ns,
        )
        if span.is_recording():
            end = span_end(trace, completion)
            span.set_attributes(end.attributes)
            for name, time_ns in end.events:
                span.add_event(name, timestamp=time_ns)
            if end.failed:
                span.set_status(StatusCode.ERROR)
        span.end(trace.wall_ns(moment))

    async def close(self, deadline_seconds: float) -> None:
        """Export what waits, for so long at most; what a slow or absent collector has not taken by then is lost."""
        # The SDK's own deadline is longer than what a pod has left; as a daemon, the thread holds up no exit.
        flush = threading.Thread(target=self._provider.shutdown, name="flush_spans", daemon=True)
        flush.start()
        await asyncio.to_thread(flush.join, deadline_seconds)
        if flush.is_alive():
            _log.warning("spans_not_flushed", seconds=deadline_seconds)


def otlp_tracing(instance: str) -> Tracing:
    """Traces that go to the collector of OTEL_EXPORTER_OTLP_ENDPOINT, by default http://localhost:4318.

    Args:
        instance: This predictor's name.
    """
    provider = TracerProvider(resource=resource_of(instance), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider)


def resource_of(instance: str) -> Resource:
    """Who sends the spans. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES have the last word."""
    ours = {
        "service.name": "kat-predictor",
        "service.version": version("kat-serving"),
        "service.instance.id": instance,
    }
    return Resource.create(ours).merge(OTELResourceDetector().detect())
