"""Traces of a real server's process, over real HTTP."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.otlp_collector import Collector, attributes_of, running_collector
from tests.fakes.predictor import MODEL
from tests.integration.predictor.api.conftest import StartServer, free_port, running_server, wait_until

ON = "This is hard.\n</judge>\n\n<think_on>\n<think>\nLet me see.\n</think>\n\n<answer>\nForty-two.\n</answer>"
CHAT: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Hello?"}]}
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def collector() -> Generator[Collector, None, None]:
    with running_collector() as collector:
        yield collector


def _to(url: str, **settings: str) -> dict[str, str]:
    return {"KAT_TRACING": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": url, **settings}


@pytest.fixture
def silent_port() -> Generator[int, None, None]:
    """A collector that accepts connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        yield listener.getsockname()[1]


def test_a_span_reaches_the_collector_as_a_child_of_the_callers(
    start_server: StartServer, collector: Collector
) -> None:
    server = start_server(ON, settings=_to(collector.url, OTEL_BSP_SCHEDULE_DELAY="50"))
    with server.client() as client:
        parent = {"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01"}
        usage = client.post("/v1/chat/completions", json=CHAT, headers=parent).json()["usage"]
    wait_until(lambda: collector.spans, "the span")
    (span,) = collector.spans
    attributes = attributes_of(span.attributes)
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE_ID, "b7ad6b7169203331")
    assert attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert {name: attributes[f"kat.tokens.{name}"] for name in usage["kat_segments"]} == usage["kat_segments"]


def test_a_standard_sampler_leaves_requests_out(start_server: StartServer, collector: Collector) -> None:
    server = start_server(ON, settings=_to(collector.url, OTEL_TRACES_SAMPLER="always_off"))
    with server.client() as client:
        client.post("/v1/chat/completions", json=CHAT).raise_for_status()
    assert server.stop() == 0
    assert collector.spans == []


def test_the_last_spans_are_flushed_when_the_server_stops(start_server: StartServer, collector: Collector) -> None:
    settings = _to(collector.url, OTEL_BSP_SCHEDULE_DELAY="3600000", KAT_GRACE_SECONDS="0.5")
    server = start_server(ON, stall_after=5, settings=settings)
    with (
        server.client() as client,
        client.stream("POST", "/v1/chat/completions", json={**CHAT, "stream": True}) as response,
    ):
        next(response.iter_raw())
        assert server.stop() == 0
    (span,) = collector.spans
    assert attributes_of(span.attributes)["error.type"] == "aborted"


@pytest.mark.parametrize("away", ["refuses", "is silent"])
def test_a_collector_that_is_away_neither_slows_nor_fails_requests_nor_holds_up_the_end(
    start_server: StartServer, silent_port: int, away: str
) -> None:
    port = silent_port if away == "is silent" else free_port()
    settings = _to(
        f"http://127.0.0.1:{port}",
        OTEL_BSP_SCHEDULE_DELAY="1",
        OTEL_BSP_MAX_QUEUE_SIZE="2",
        OTEL_BSP_MAX_EXPORT_BATCH_SIZE="1",
    )
    server = start_server(ON, settings=settings)
    with server.client() as client:
        began = time.monotonic()
        answers = [client.post("/v1/chat/completions", json=CHAT).status_code for _ in range(20)]
        took = time.monotonic() - began
    began = time.monotonic()
    assert server.stop() == 0
    assert answers == [200] * 20
    # An export's time-out is 10 s: one request that waited for one would show.
    assert took < 10
    assert time.monotonic() - began < 20


def test_without_tracing_opentelemetry_is_not_even_imported(tmp_path: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "tests.fakes.serve_scripted", json.dumps({"replies": [ON]})]
    with running_server(tmp_path / "home", command, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}) as server:
        server.wait_for("/v2/health/ready", 200)
        with server.client() as client:
            client.post("/v1/chat/completions", json=CHAT).raise_for_status()
        assert server.stop() == 0
        imported = server.log.read_text()
    assert "kat_predictor.server" in imported
    assert "opentelemetry" not in imported
