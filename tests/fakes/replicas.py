"""Replicas that are nothing but metrics: those of the predictor itself, set by a script."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from os import getpid
from threading import Thread

from prometheus_client import CollectorRegistry, generate_latest

from kat.usage_event import Mode, ModeSource, Status, Tokens
from kat_predictor.metrics import Metrics

MODEL = "kat-test"


class Replica:
    """One replica's metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)
        self.queued = 0
        self.kv_cache = 0.0
        self.metrics.model_is_served(MODEL)
        self.metrics.watch_queue(MODEL, lambda: self.queued)
        self.metrics.watch_kv_cache(lambda: self.kv_cache)

    def decides(self, mode: Mode, count: float = 1) -> None:
        self.metrics.requests_decided.labels(MODEL, mode).inc(count)

    def runs(self, mode: Mode, count: float) -> None:
        """So many are in flight."""
        self.metrics.series(MODEL, mode).in_flight.set(count)

    def ends(self, mode: Mode, *, tokens: int, seconds: float, first_answer_seconds: float | None = None) -> None:
        if first_answer_seconds is not None:
            self.metrics.series(MODEL, mode).time_to_first_answer_token.observe(first_answer_seconds)
        self.metrics.request_ended(
            MODEL,
            mode,
            source=ModeSource.MODEL,
            status=Status.OK,
            tokens=Tokens(prompt=1_000, answer=tokens),
            duration_seconds=seconds,
        )

    def waits_between_tokens(self, mode: Mode, seconds: float) -> None:
        self.metrics.series(MODEL, mode).inter_token_latency.observe(seconds)

    def refuses(self, count: float = 1) -> None:
        self.metrics.requests_overloaded.labels(MODEL).inc(count)

    def lines(self, labels: Mapping[str, str], *, at: float | None = None) -> Iterator[str]:
        """Its samples as a Prometheus has them that found it as a pod; `at` is in seconds since the epoch."""
        for family in self.registry.collect():
            for sample in family.samples:
                if not sample.name.endswith("_created"):
                    named = ",".join(f'{key}="{value}"' for key, value in {**sample.labels, **labels}.items())
                    yield f"{sample.name}{{{named}}} {sample.value}" + ("" if at is None else f" {at:.3f}")


@dataclass(frozen=True)
class Load:
    """What a replica does, steadily: requests a second that think (1,000 tokens, 40 s) and that do not (200, 8 s)."""

    thinks: float = 0.0
    answers: float = 0.0
    in_flight: float | None = None
    """Without it, what these requests come to in the long run."""
    queued: int = 3

    def step(self, replica: Replica, seconds: float) -> None:
        """Put so many seconds of it into a replica's metrics."""
        replica.queued, replica.kv_cache = self.queued, 0.5
        running = {Mode.ON: self.thinks * 40.0, Mode.OFF: self.answers * 8.0}
        for mode, rate, tokens, each in ((Mode.ON, self.thinks, 1_000, 40.0), (Mode.OFF, self.answers, 200, 8.0)):
            replica.decides(mode, rate * seconds)
            for _ in range(round(rate * seconds)):
                replica.ends(mode, tokens=tokens, seconds=each, first_answer_seconds=0.9 * each)
                replica.waits_between_tokens(mode, 0.04)
            share = running[mode] / (sum(running.values()) or 1.0)
            replica.runs(mode, running[mode] if self.in_flight is None else share * self.in_flight)


def past_of(
    pods: Mapping[str, Sequence[tuple[float, Load]]],
    *,
    namespace: str = "default",
    ended_ago: float = 1.0,
    more_labels: Mapping[str, str] | None = None,
    step: float = 5.0,
) -> Iterator[str]:
    """What a Prometheus would have scraped: by pod, its loads one after another, each for so many seconds."""
    end = time.time() - ended_ago
    for pod, loads in pods.items():
        replica, at = Replica(), end - sum(seconds for seconds, _ in loads)
        labels = {**pod_labels(pod, namespace), **(more_labels or {})}
        for seconds, load in loads:
            for _ in range(round(seconds / step)):
                load.step(replica, step)
                at += step
                yield from replica.lines(labels, at=at)


def pod_labels(pod: str, namespace: str = "default") -> dict[str, str]:
    """What a PodMonitor adds."""
    return {"namespace": namespace, "pod": pod, "container": "kserve-container", "job": f"{namespace}/kat"}


@contextmanager
def served(replicas: Mapping[str, Replica]) -> Iterator[tuple[dict[str, str], int]]:
    """The /metrics of each replica, by pod, at an address of its own on loopback; the addresses, and the one port."""
    # A net of this process's own: another test's servers cannot have taken the port there.
    net = f"127.{1 + getpid() // 250 % 250}.{1 + getpid() % 250}"
    port = 0
    addresses: dict[str, str] = {}
    with ExitStack() as stack:
        for number, (pod, replica) in enumerate(replicas.items(), start=1):
            addresses[pod] = f"{net}.{number}"
            server = stack.enter_context(_serving(addresses[pod], port, partial(generate_latest, replica.registry)))
            port = server.server_port
        yield addresses, port


@contextmanager
def exported(replicas: Mapping[str, Replica], namespace: str) -> Iterator[str]:
    """One `host:port` whose /metrics stands in for all the replicas, by pod; those that come later are in it, too.

    For pods that run nothing: with `honor_labels`, a Prometheus takes the samples for theirs.
    """

    def exposition() -> bytes:
        # A copy, since the test may add one meanwhile.
        lines = (line for pod, replica in [*replicas.items()] for line in replica.lines(pod_labels(pod, namespace)))
        return "".join(f"{line}\n" for line in lines).encode()

    with _serving("127.0.0.1", 0, exposition) as server:
        yield f"127.0.0.1:{server.server_port}"


@contextmanager
def _serving(address: str, port: int, exposition: Callable[[], bytes]) -> Iterator[ThreadingHTTPServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/metrics":
                self.send_error(404)
                return
            body = exposition()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer((address, port), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
