"""What a cluster sees of a predictor between the start of its process and its exit."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from kat.usage_event import Status, Tokens
from tests.fakes.predictor import ACME, MODEL, chunks_of, directory_of
from tests.integration.predictor.api.conftest import Server, StartServer, free_port, wait_until

ON = "This is hard.\n</judge>\n\n<think_on>\n<think>\nLet me see.\n</think>\n\n<answer>\nForty-two.\n</answer>"
CHAT: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Hello?"}]}
ONE_AT_A_TIME = {"KAT_MAX_CONCURRENT_REQUESTS": "1"}


@contextmanager
def _stream(server: Server) -> Generator[Iterator[str], None, None]:
    """A stream that has begun."""
    with (
        server.client() as client,
        client.stream("POST", "/v1/chat/completions", json={**CHAT, "stream": True}) as response,
    ):
        pieces = response.iter_text()
        text = ""
        while "hard" not in text:
            text += next(pieces)
        yield itertools.chain([text], pieces)


@contextmanager
def _waiting(server: Server) -> Generator[Future[httpx.Response], None, None]:
    """A request that waits for its turn."""

    def ask() -> httpx.Response:
        with server.client() as client:
            return client.post("/v1/chat/completions", json=CHAT)

    with ThreadPoolExecutor(1) as pool:
        response = pool.submit(ask)
        wait_until(lambda: _queued(server) == 1, "the request to wait")
        yield response


def _queued(server: Server) -> float:
    scraped = httpx.get(f"{server.url}/metrics").text
    return float(scraped.split(f'kat_requests_queued{{model="{MODEL}"}} ')[1].split("\n")[0])


def test_sigterm_turns_readiness_off_at_once_and_lets_what_was_accepted_end(start_server: StartServer) -> None:
    """A running stream is read to its end, and one that waited still gets its turn."""
    server = start_server(ON, settings=ONE_AT_A_TIME, token_seconds=0.1)
    with _stream(server) as pieces, _waiting(server) as waiting:
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("/v2/health/ready", None)
        assert not server.metering.events, "the stream was to be running still"
        chunks = chunks_of("".join(pieces))
        response = waiting.result()
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert response.status_code == 200
    assert server.process.wait(60) == 0
    assert [event.data.status for event in server.metering.events] == [Status.OK, Status.OK]


def test_past_the_grace_what_runs_and_what_waits_is_ended_and_accounted(start_server: StartServer) -> None:
    server = start_server(ON, settings={**ONE_AT_A_TIME, "KAT_GRACE_SECONDS": "0.5"}, stall_after=5)
    with _stream(server), _waiting(server) as waiting:
        assert server.stop() == 0
        response = waiting.result()
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.json()["error"]["code"] == "shutting_down"
    events = sorted(server.metering.events, key=lambda event: event.time)
    assert [event.data.status for event in events] == [Status.ABORTED, Status.ABORTED]
    assert events[0].data.tokens.completion == 5
    assert events[1].data.tokens == Tokens()


def test_events_that_metering_does_not_take_at_shutdown_are_delivered_after_the_next_start(
    start_server: StartServer, tmp_path: Path
) -> None:
    directory = tmp_path / "directory.json"
    directory.write_text(directory_of(ACME).model_dump_json())
    kept = {"KAT_OUTBOX_PATH": str(tmp_path / "outbox"), "KAT_DIRECTORY_PATH": str(directory)}
    nobody = f"http://127.0.0.1:{free_port()}"
    server = start_server(ON, settings={**kept, "KAT_METERING_URL": nobody})
    with server.client() as client:
        usage = client.post("/v1/chat/completions", json=CHAT).json()["usage"]
    assert server.stop() == 0
    assert not server.metering.events
    successor = start_server(ON, settings=kept, home="successor")
    wait_until(lambda: successor.metering.events, "the event")
    (event,) = successor.metering.events
    assert event.data.tokens.model_dump() == usage["kat_segments"]


def test_a_predictor_that_ends_waits_for_metering_to_come_back(start_server: StartServer) -> None:
    """Where the outbox goes with the pod, nobody delivers after the process has ended."""
    server = start_server(ON, settings={"KAT_DRAIN_SECONDS": "100"})
    server.metering.away.set()
    with server.client() as client:
        usage = client.post("/v1/chat/completions", json=CHAT).json()["usage"]
    server.process.send_signal(signal.SIGTERM)
    # Past its requests and on with its outbox, whose next try is far off: a process that ends tries once a second.
    server.wait_for("/v2/health/live", None)
    refused = server.log.read_text().count("events_not_delivered")
    wait_until(lambda: server.log.read_text().count("events_not_delivered") > refused, "a further try to be refused")
    server.metering.away.clear()
    assert server.process.wait(60) == 0
    (event,) = server.metering.events
    assert event.data.tokens.model_dump() == usage["kat_segments"]


def test_a_predictor_is_live_and_not_ready_until_its_model_has_answered(start_server: StartServer) -> None:
    server = start_server(ON, ready=False, warm_up="hang")
    wait_until(lambda: "warming_up" in server.log.read_text(), "the warm-up")
    server.wait_for("/v2/health/live", 200)
    assert server.status("/v2/health/ready") == 503
    with server.client() as client:
        response = client.post("/v1/chat/completions", json=CHAT)
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert server.stop() == 0


def test_a_model_that_fails_its_first_request_ends_the_server_with_one_line(start_server: StartServer) -> None:
    server = start_server(ON, ready=False, warm_up="fail", settings={"KAT_MODEL": "/kat"})
    assert server.process.wait(60) == 2
    assert server.log.read_text().splitlines()[-1] == (
        "predictor: The model '/kat' was loaded, and does not answer: the engine broke on purpose"
    )


def test_the_log_of_a_start_says_how_far_it_is(start_server: StartServer) -> None:
    server = start_server(ON)
    log = server.log.read_text()
    steps = [log.index(step) for step in ("loading_model", "warming_up", "serving")]
    assert steps == sorted(steps)
