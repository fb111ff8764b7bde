"""Real engines behind the real server: clients that leave, and an engine that refuses, dies or hangs.

The model is declared to judge by itself, which it cannot: so its judge goes on for as long as a test wants it to.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

import httpx
import orjson
import pytest

from kat.usage_event import Segment, Status, Tokens, Usage
from tests.fakes.alive import is_alive
from tests.fakes.engine_core import engine_core_of
from tests.fakes.predictor import KEY, MODEL
from tests.integration.predictor.api.conftest import Server, running_server, wait_until

pytestmark = [
    pytest.mark.xdist_group("engines"),
    # vLLM starts processes, which takes a minute or two on a busy machine.
    pytest.mark.timeout(600),
]

STALL_SECONDS: Final = 4
PROBE_SECONDS: Final = 10
"""How soon liveness must fail."""
SETTINGS: Final = {
    "KAT_JUDGE": "native",
    "KAT_MAX_MODEL_LEN": "2048",
    "KAT_MAX_CONCURRENT_REQUESTS": "1",
    "KAT_ENGINE_STALL_SECONDS": str(STALL_SECONDS),
    "KAT_GRACE_SECONDS": "2",
    # One thread: where other tests keep the cores busy, threads that wait for one another take a hundred times as long.
    "OMP_NUM_THREADS": "1",
}
ENGINE_ARGUMENTS: Final = {"vllm": '{"kv_cache_memory_bytes": 268435456, "max_logprobs": 1}', "transformers": ""}
ASKED: Final[dict[str, Any]] = {
    "model": MODEL,
    "messages": [{"role": "user", "content": "Write a very long story about the sea."}],
    "max_tokens": 1_500,
    "seed": 1,
}
PHASES: Final[dict[Segment, dict[str, Any]]] = {
    Segment.JUDGE: {},
    Segment.THINK: {"reasoning_effort": "high"},
    Segment.ANSWER: {"reasoning_effort": "none"},
}

StartEngine = Callable[[str], Server]


@pytest.fixture(scope="module")
def start_engine(base_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[StartEngine]:
    """Gives the server of an engine; a new one where a test has ended the last."""
    running: dict[str, Server] = {}
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("faults")
        homes = (folder / f"home-{number}" for number in count())

        def start(engine: str) -> Server:
            if importlib.util.find_spec(engine) is None:
                pytest.skip(f"{engine} is not installed")
            if engine not in running or running[engine].process.poll() is not None:
                command = [str(Path(sys.executable).with_name("kat")), "predictor", "serve"]
                settings = {
                    "KAT_MODEL": str(base_model_path),
                    "KAT_ENGINE": engine,
                    "KAT_ENGINE_ARGS": ENGINE_ARGUMENTS[engine],
                }
                begun = stack.enter_context(running_server(next(homes), command, {**SETTINGS, **settings}))
                begun.wait_for("/v2/health/ready", 200, patience_seconds=500)
                running[engine] = begun
            server = running[engine]
            wait_until(lambda: not metric(server, "kat_outbox_events"), "the last test's events")
            server.metering.events.clear()
            return server

        yield start


@pytest.fixture(params=["transformers", "vllm"])
def server(request: pytest.FixtureRequest, start_engine: StartEngine) -> Server:
    return start_engine(request.param)


@pytest.fixture
def vllm(start_engine: StartEngine) -> Server:
    return start_engine("vllm")


@dataclass
class Stream:
    """A completion that is being read."""

    events: Iterator[str]
    deltas: int = 0
    """Pieces of text so far, each of one token or more."""
    errors: list[dict[str, Any]] = field(default_factory=list)
    seconds_a_delta: float = 0.0

    def read(self, deltas: int) -> None:
        began = time.monotonic()
        until = self.deltas + deltas
        while self.deltas < until:
            self._take(next(self.events))
        self.seconds_a_delta = (time.monotonic() - began) / deltas

    def read_to_its_end(self) -> None:
        for event in self.events:
            self._take(event)

    def _take(self, event: str) -> None:
        chunk = orjson.loads(event.removeprefix("data: "))
        if "error" in chunk:
            self.errors.append(chunk["error"])
        elif chunk["choices"]:
            delta = chunk["choices"][0]["delta"]
            self.deltas += bool(delta.get("content") or delta.get("reasoning"))


@contextmanager
def streaming(server: Server, **asked: Any) -> Generator[Stream]:
    """A stream that has begun. At the end its connection is closed, whatever is still to come."""
    with (
        server.client() as client,
        client.stream("POST", "/v1/chat/completions", json={**ASKED, **asked, "stream": True}) as response,
    ):
        assert response.status_code == httpx.codes.OK
        stream = Stream(line for line in response.iter_lines() if line)
        stream.read(4)
        yield stream


def metric(server: Server, name: str) -> float:
    """The sum of a metric's series."""
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.split("{")[0].split(" ")[0] == name)


def is_idle(server: Server) -> bool:
    # By the scheduler's own word after its last step, for vLLM as for transformers.
    return metric(server, "kat_kv_cache_usage_ratio") == 0 and metric(server, "kat_requests_in_flight") == 0


def the_usage(server: Server) -> Usage:
    """The one event's."""
    wait_until(lambda: server.metering.events, "the usage event")
    (event,) = server.metering.events
    return event.data


def answers(server: Server) -> bool:
    with server.client() as client:
        whole = {**ASKED, "max_tokens": 2, "reasoning_effort": "none"}
        return client.post("/v1/chat/completions", json=whole).status_code == httpx.codes.OK


@pytest.mark.parametrize("phase", PHASES)
def test_a_client_that_leaves_frees_its_sequence_within_a_second_and_pays_for_what_was_generated(
    server: Server, phase: Segment
) -> None:
    with streaming(server, **PHASES[phase]) as stream:
        assert not is_idle(server)
        stream.read(4)
    # A second; a few steps more, for a machine that is busy with other things.
    wait_until(lambda: is_idle(server), "the engine to stop", patience_seconds=1 + 3 * stream.seconds_a_delta)
    usage = the_usage(server)
    generated = usage.tokens.judge + usage.tokens.think + usage.tokens.answer
    assert usage.status is Status.ABORTED
    assert generated == getattr(usage.tokens, phase)
    # What was generated in that second may be more than what was read.
    assert stream.deltas <= generated <= stream.deltas + 1 + 2 / stream.seconds_a_delta


def test_a_client_that_leaves_the_queue_is_forgotten_within_a_second_and_pays_nothing(server: Server) -> None:
    with streaming(server, **PHASES[Segment.ANSWER]) as stream:
        body = orjson.dumps(ASKED)
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(head.encode() + body)
            wait_until(lambda: metric(server, "kat_requests_queued"), "the request to wait")
        wait_until(lambda: not metric(server, "kat_requests_queued"), "the queue to be empty", patience_seconds=1)
        usage = the_usage(server)
        stream.read(2)
    assert (usage.status, usage.tokens) == (Status.ABORTED, Tokens())
    wait_until(lambda: len(server.metering.events) == 2, "the event of the one that ran")


def test_a_request_that_the_engine_refuses_leaves_the_pod_healthy(vllm: Server) -> None:
    with vllm.client() as client:
        # More alternatives than this engine was told to give: found out by vLLM itself.
        refused = client.post("/v1/chat/completions", json={**ASKED, "logprobs": True, "top_logprobs": 5})
    assert refused.status_code in {400, 500}
    assert vllm.status("/v2/health/live") == vllm.status("/v2/health/ready") == 200
    assert answers(vllm)


def test_an_engine_that_is_killed_ends_its_streams_with_an_error_and_fails_the_pod(vllm: Server) -> None:
    """And the server that is left still stops in good order, as the liveness probe will have it do."""
    with streaming(vllm, **PHASES[Segment.ANSWER]) as stream:
        os.kill(engine_core_of(vllm.process.pid), signal.SIGKILL)
        vllm.wait_for("/v2/health/live", 503, patience_seconds=PROBE_SECONDS)
        assert vllm.status("/v2/health/ready") == 503
        stream.read_to_its_end()
    assert [error["code"] for error in stream.errors] == ["engine_failed"]
    usage = the_usage(vllm)
    assert usage.status is Status.ERROR
    assert usage.tokens.answer >= stream.deltas
    with vllm.client() as client:
        response = client.post("/v1/chat/completions", json=ASKED)
    assert (response.status_code, response.json()["error"]["code"]) == (503, "not_ready")
    assert vllm.stop() == 0
    assert len(vllm.metering.events) == 1, "what was not begun is not charged"


@contextmanager
def hung(server: Server) -> Generator[None]:
    """The scheduler stands still."""
    core = engine_core_of(server.process.pid)
    os.kill(core, signal.SIGSTOP)
    try:
        yield
    finally:
        if is_alive(core):
            os.kill(core, signal.SIGCONT)


def test_an_engine_that_hangs_fails_the_pod_for_as_long_as_it_does(vllm: Server) -> None:
    with streaming(vllm, **PHASES[Segment.ANSWER]) as stream:
        with hung(vllm):
            vllm.wait_for("/v2/health/live", 503, patience_seconds=PROBE_SECONDS)
            assert vllm.status("/v2/health/ready") == 503
        vllm.wait_for("/v2/health/live", 200)
        stream.read(2)


def test_a_client_that_gives_up_does_not_hide_that_the_engine_hangs(vllm: Server) -> None:
    with ExitStack() as hanging:
        with streaming(vllm, **PHASES[Segment.ANSWER]):
            hanging.enter_context(hung(vllm))
        vllm.wait_for("/v2/health/live", 503, patience_seconds=PROBE_SECONDS)
    vllm.wait_for("/v2/health/live", 200)


def test_a_server_with_a_hung_engine_stops_in_good_order_and_leaves_no_process(vllm: Server) -> None:
    core = engine_core_of(vllm.process.pid)
    with streaming(vllm, **PHASES[Segment.ANSWER]) as stream, hung(vllm):
        assert vllm.stop() == 0
        assert not is_alive(core)
    usage = the_usage(vllm)
    assert usage.status is Status.ABORTED
    assert usage.tokens.answer >= stream.deltas
