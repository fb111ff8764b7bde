"""What the predictor itself costs, its engine answering at once; beside it LiteLLM's proxy under the same load.

    .venv/bin/python bench/overhead.py [--json] [--without-litellm]

The real server, as a process on a CPU of its own: authentication, admission, accounting, the outbox on disk, delivery to
metering and metrics are all on, and the model's own judge decides on every request. CPU time is that of the whole
process, all threads and the kernel's part of it included. The proxy, likewise on that CPU with one worker, stands in
front of a server as instant as the engine. Clients, that server and metering share the other CPUs.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
import httpx
import uvloop

from bench.instant import litellm
from bench.instant.load import Load, chat_request, put_load
from bench.instant.metering import neighbour, one_tenant
from bench.instant.process import cpu_seconds, pin, rss_mib
from kat.processes import Part, port_or_free

_MODEL: Final = "instant"
_MESSAGES: Final = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "Good morning! How are you?"},
]
_WARM_UP: Final = 1_000
_START_SECONDS: Final = 120
_STOP_SECONDS: Final = 30
_DELIVERY_SECONDS: Final = 30
_ROOT: Final = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class _Server:
    """A server that runs, on a CPU of its own."""

    part: Part
    port: int
    key: str
    concurrency: int
    has_outbox: bool = False

    def load(self, requests: int, **parameters: object) -> Load:
        """Put chat requests on it."""
        request = chat_request(self.port, self.key, {"model": _MODEL, "messages": _MESSAGES, **parameters})
        return uvloop.run(put_load(self.port, request, requests=requests, concurrency=self.concurrency))

    def cpu_seconds_of(self, requests: int, **parameters: object) -> tuple[Load, float]:
        """Put chat requests on it; the CPU time that it took for them, to the delivery of their last usage event."""
        self._deliver()
        before = cpu_seconds(self.part.pid)
        load = self.load(requests, **parameters)
        self._deliver()
        return load, cpu_seconds(self.part.pid) - before

    def _deliver(self) -> None:
        deadline = time.monotonic() + _DELIVERY_SECONDS
        while (
            self.has_outbox
            and "\nkat_outbox_events 0.0\n" not in httpx.get(f"http://127.0.0.1:{self.port}/metrics").text
        ):
            if time.monotonic() > deadline:
                raise RuntimeError(f"events are left in the outbox: {self.part.log_tail()}")
            time.sleep(0.1)


@contextmanager
def _running(part: Part, cpu: int | None = None) -> Iterator[Part]:
    part.start()
    try:
        if cpu is not None:
            pin(part.pid, cpu)
        part.wait_ready(timeout=_START_SECONDS)
        yield part
    finally:
        part.stop(timeout=_STOP_SECONDS)


def _predictor(folder: Path, *, port: int, metering_url: str, concurrency: int) -> Part:
    return Part(
        name="predictor",
        argv=[sys.executable, "-m", "bench.instant.predictor"],
        env={
            "PYTHONPATH": str(_ROOT),
            "KAT_HOME": str(folder),
            "KAT_HOST": "127.0.0.1",
            "KAT_PORT": str(port),
            "KAT_MODEL_NAME": _MODEL,
            "KAT_METERING_URL": metering_url,
            "KAT_SERVICE_TOKEN": "bench",
            "KAT_MAX_CONCURRENT_REQUESTS": str(concurrency),
        },
        log=folder / "predictor.log",
        ready_url=f"http://127.0.0.1:{port}/v2/health/ready",
    )


def _measure_predictor(server: _Server, *, requests: int, streams: int, tokens: int) -> dict[str, Any]:
    server.load(_WARM_UP)
    server.load(server.concurrency, stream=True, max_tokens=tokens)
    rss_start = rss_mib(server.part.pid)
    load, cpu = server.cpu_seconds_of(requests)
    rss_end = rss_mib(server.part.pid)
    streamed, stream_cpu = server.cpu_seconds_of(streams, stream=True, max_tokens=tokens)
    if streamed.events < streams * tokens:
        raise RuntimeError(f"{streamed.events} chunks came in streams of {streams * tokens} tokens")
    return {
        "requests": requests,
        "requests_per_second": round(load.per_second),
        "latency_ms": load.latency_ms(),
        "cpu_ms_per_request": round(cpu * 1e3 / requests, 3),
        "streams": streams,
        "tokens_per_stream": tokens,
        "tokens_per_second": round(streams * tokens / streamed.seconds),
        "cpu_us_per_token": round(stream_cpu * 1e6 / (streams * tokens), 1),
        "rss_mib_start": rss_start,
        "rss_mib_end": rss_end,
    }


def _measure_litellm(server: _Server, requests: int) -> dict[str, Any]:
    server.load(_WARM_UP // 10)
    load, cpu = server.cpu_seconds_of(requests)
    return {
        "litellm_version": litellm.VERSION,
        "litellm_requests": requests,
        "litellm_requests_per_second": round(load.per_second, 1),
        "litellm_latency_ms": load.latency_ms(),
        "litellm_cpu_ms_per_request": round(cpu * 1e3 / requests, 3),
    }


def _cache() -> Path:
    home = os.environ.get("KAT_HOME")
    return Path(home) / "bench" if home else Path.home() / ".cache" / "kat-serving" / "bench"


def _say(line: str) -> None:
    print(f"… {line}", file=sys.stderr, flush=True)


def _print(result: dict[str, Any]) -> None:
    print(f"{result['concurrency']} requests at once, one CPU{'requests/s':>15}{'CPU ms':>9}{'p50 ms':>9}{'p99 ms':>9}")
    _print_side("predictor", result, "")
    if "ratio_litellm" in result:
        _print_side(f"LiteLLM {result['litellm_version']}", result, "litellm_")
        print(f"{'ratio':<28}{result['ratio_litellm']:>18}")
    print()
    print(f"streaming: {result['tokens_per_second']:,} tokens/s, {result['cpu_us_per_token']} µs CPU a token")
    print(
        f"memory: {result['rss_mib_start']} MiB after the warm-up, {result['rss_mib_end']} MiB "
        f"{result['requests']:,} requests later"
    )


def _print_side(name: str, result: Mapping[str, Any], prefix: str) -> None:
    latency = result[f"{prefix}latency_ms"]
    print(
        f"{name:<28}{result[f'{prefix}requests_per_second']:>18,}{result[f'{prefix}cpu_ms_per_request']:>9}"
        f"{latency['p50']:>9}{latency['p99']:>9}"
    )


@click.command()
@click.option("--json", "as_json", is_flag=True, help="End with one JSON object on one line.")
@click.option("--requests", default=10_000, show_default=True)
@click.option("--streams", default=400, show_default=True)
@click.option("--tokens", default=256, show_default=True, help="Tokens of each stream.")
@click.option("--concurrency", default=16, show_default=True)
@click.option("--litellm-requests", default=1_000, show_default=True)
@click.option("--without-litellm", is_flag=True, help="Measure the predictor alone.")
def main(
    *,
    as_json: bool,
    requests: int,
    streams: int,
    tokens: int,
    concurrency: int,
    litellm_requests: int,
    without_litellm: bool,
) -> None:
    """Measure the predictor, and LiteLLM's proxy beside it."""
    environment = None
    if not without_litellm:
        try:
            environment = litellm.installed(_cache())
        except litellm.CannotInstallError as error:
            raise click.ClickException(f"{error} (--without-litellm measures the predictor alone)") from error
    measured, *others = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, others or [measured])
    directory, key = one_tenant()
    result: dict[str, Any] = {
        "benchmark": "overhead",
        "cpus": 1 + len(others),
        "load_average": round(os.getloadavg()[0], 1),
        "concurrency": concurrency,
    }
    with tempfile.TemporaryDirectory(prefix="kat-overhead-") as home:
        folder = Path(home)
        part, url = neighbour(folder, directory)
        with _running(part):
            port = port_or_free(0)
            predictor = _predictor(folder, port=port, metering_url=url, concurrency=concurrency)
            _say("starting the predictor")
            with _running(predictor, measured):
                server = _Server(predictor, port, key, concurrency, has_outbox=True)
                result |= _measure_predictor(server, requests=requests, streams=streams, tokens=tokens)
            if environment is not None:
                port = port_or_free(0)
                proxy, proxy_key = litellm.proxy(environment, folder=folder, port=port, upstream=url)
                _say("starting LiteLLM's proxy")
                with _running(proxy, measured):
                    result |= _measure_litellm(_Server(proxy, port, proxy_key, concurrency), litellm_requests)
                ratio = result["requests_per_second"] / result["litellm_requests_per_second"]
                result["ratio_litellm"] = round(ratio, 1)
    _print(result)
    if as_json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
