"""KServe's server with our parts in it, as a process, from its start to its exit."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest

from kat.usage_event import Segment, Status
from tests.fakes.predictor import KEY, MODEL, chunks_of
from tests.integration.predictor.api.conftest import Server, StartServer, running_server, wait_until

ON = "This is hard.\n</judge>\n\n<think_on>\n<think>\nLet me see.\n</think>\n\n<answer>\nForty-two.\n</answer>"
CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "Hello?"}]}


@contextmanager
def _stalled_stream(server: Server) -> Generator[None, None, None]:
    """A stream of which five tokens have come."""
    with (
        server.client() as client,
        client.stream("POST", "/v1/chat/completions", json={**CHAT, "stream": True}) as response,
    ):
        pieces = response.iter_text()
        text = ""
        while "hard" not in text:
            text += next(pieces)
        yield


def test_the_openai_sdk_gets_whole_and_streamed_completions(start_server: StartServer) -> None:
    server = start_server(ON)
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY)
    whole = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hello?"}])
    stream = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Hello?"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    content = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert whole.choices[0].message.content == content == "Forty-two."
    assert whole.usage is not None
    assert whole.usage == chunks[-1].usage
    assert whole.usage.completion_tokens_details is not None
    assert whole.usage.completion_tokens_details.reasoning_tokens
    assert [model.id for model in client.models.list()] == [MODEL]


def test_the_openai_sdk_raises_its_own_errors(start_server: StartServer) -> None:
    server = start_server(ON)
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0)
    with pytest.raises(openai.BadRequestError, match="temperature"):
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "x"}], temperature=5)
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="other", messages=[{"role": "user", "content": "x"}])
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{server.url}/v1", api_key="sk-kat-wrong").models.list()


def test_response_event_and_metrics_agree(start_server: StartServer) -> None:
    server = start_server(ON)
    with server.client() as client:
        usage = client.post("/v1/chat/completions", json=CHAT).json()["usage"]
        client.post(f"/v1/models/{MODEL}:predict", json={"instances": ["Hello?"]}).raise_for_status()
        scraped = client.get("/metrics").text
    wait_until(lambda: len(server.metering.events) == 2, "both events")
    assert [event.data.tokens.model_dump() for event in server.metering.events] == [usage["kat_segments"]] * 2
    for segment in Segment:
        series = f'kat_tokens_total{{mode="on",model="{MODEL}",segment="{segment}"}}'
        assert f"{series} {2 * usage['kat_segments'][segment]:.1f}\n" in scraped


def test_a_body_of_ten_megabytes_is_refused_over_a_real_socket(start_server: StartServer) -> None:
    server = start_server(ON)
    with server.client() as client:
        response = client.post("/v1/chat/completions", content=b"x" * 10_000_000)
        assert response.status_code == 413
        assert client.post("/v1/chat/completions", json=CHAT).status_code == 200


def test_a_client_that_closes_its_socket_stops_the_engine(start_server: StartServer) -> None:
    server = start_server(ON, stall_after=5)
    with _stalled_stream(server):
        pass
    wait_until(lambda: server.metering.events, "the event")
    (event,) = server.metering.events
    assert event.data.status is Status.ABORTED
    assert event.data.tokens.completion == 5


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_running_streams_end_and_drains_the_outbox(
    start_server: StartServer, how: signal.Signals
) -> None:
    server = start_server("word " * 3_000)
    with server.client() as client:
        body = {**CHAT, "stream": True, "reasoning_effort": "none", "max_tokens": 1_500}
        with client.stream("POST", "/v1/chat/completions", json=body) as response:
            pieces = response.iter_text()
            text = next(pieces)
            server.process.send_signal(how)
            text += "".join(pieces)
    assert chunks_of(text)[-1]["choices"][0]["finish_reason"] == "length"
    assert server.process.wait(60) == 0
    (event,) = server.metering.events
    assert (event.data.status, event.data.tokens.completion) == (Status.LENGTH, 1_500)


def test_streams_that_outlast_the_grace_period_are_cut_and_accounted(start_server: StartServer) -> None:
    server = start_server(ON, stall_after=5, settings={"KAT_GRACE_SECONDS": "0.5"})
    with _stalled_stream(server):
        assert server.stop() == 0
    (event,) = server.metering.events
    assert (event.data.status, event.data.tokens.completion) == (Status.ABORTED, 5)


def test_the_port_is_open_but_not_ready_while_the_model_loads(start_server: StartServer) -> None:
    server = start_server(load="hang", ready=False)
    server.wait_for("/v2/health/live", 200)
    assert server.status("/v2/health/ready") == 503
    with server.client() as client:
        response = client.post("/v1/chat/completions", json=CHAT)
    assert (response.status_code, response.json()["error"]["code"]) == (503, "not_ready")


def test_a_server_that_is_stopped_while_it_loads_does_not_wait_for_the_model(start_server: StartServer) -> None:
    server = start_server(load="hang", ready=False)
    server.wait_for("/v2/health/live", 200)
    assert server.stop() == 0


def test_a_model_that_cannot_be_loaded_ends_the_server_with_one_line(start_server: StartServer) -> None:
    server = start_server(load="fail", ready=False, settings={"KAT_MODEL": "/nowhere"})
    assert server.process.wait(60) == 2
    assert server.log.read_text().splitlines()[-1] == (
        "predictor: The model '/nowhere' cannot be loaded: no such checkpoint"
    )


def test_a_dead_engine_fails_the_liveness_of_the_pod(start_server: StartServer) -> None:
    server = start_server(ON)
    with server.client() as client:
        response = client.post("/v1/chat/completions", json={**CHAT, "messages": [{"role": "user", "content": "die"}]})
    assert response.status_code == 500
    assert server.status("/v2/health/live") == 503
    assert server.status("/v2/health/ready") == 503
    wait_until(lambda: server.metering.events, "the event")
    assert server.metering.events[0].data.status is Status.ERROR


def test_a_taken_port_ends_the_server_with_one_line(start_server: StartServer) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        server = start_server(ON, ready=False, settings={"KAT_PORT": port})
        assert server.process.wait(60) == 2
    assert f"Cannot listen on 127.0.0.1:{port}" in server.log.read_text()


def test_a_damaged_outbox_ends_the_server_with_one_line(start_server: StartServer, tmp_path: Path) -> None:
    damaged = tmp_path / "outbox.sqlite3"
    damaged.write_bytes(b"no database at all" * 1_000)
    server = start_server(ON, ready=False, settings={"KAT_OUTBOX_PATH": str(damaged)})
    assert server.process.wait(60) == 2
    last = server.log.read_text().splitlines()[-1]
    assert last.startswith("predictor: ")
    assert str(damaged) in last


def test_the_command_names_every_setting_that_is_missing_or_bad(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("kat")), "predictor", "serve"]
    with running_server(tmp_path / "home", command, {"KAT_SERVICE_TOKEN": "", "KAT_PORT": "http"}) as server:
        assert server.process.wait(60) == 2
    (line,) = server.log.read_text().splitlines()
    assert "KAT_SERVICE_TOKEN is not set" in line
    assert "KAT_PORT" in line


def test_the_server_listens_where_it_is_told(start_server: StartServer) -> None:
    server = start_server(ON)
    listening = Path(f"/proc/{server.process.pid}/net/tcp").read_text()
    assert f"0100007F:{server.port:04X} 00000000:0000 0A" in listening
    assert f"00000000:{server.port:04X}" not in listening
