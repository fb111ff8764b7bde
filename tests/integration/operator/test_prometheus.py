"""Signals read from a real Prometheus are what went into it, and the replicas' own metrics say the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kat.usage_event import Mode
from kat_operator.autoscaler.pod_metrics import PodMetrics
from kat_operator.autoscaler.prometheus import Prometheus
from kat_operator.autoscaler.series import Reading, Reason
from kat_operator.autoscaler.signals_reader import SignalsReader
from kat_operator.kinds import Key
from tests.fakes.clock import Clock
from tests.fakes.real_prometheus import need_prometheus, running_prometheus, write_past
from tests.fakes.replicas import Load, Replica, past_of, pod_labels, served

KAT = Key("default", "kat")
NOWHERE = "127.0.0.1"
"""Nothing listens on its port 1."""
STEP = 5.0
PAST = 300.0


def steady(loads: Mapping[str, Load], **where: Any) -> Iterator[str]:
    return past_of({pod: [(PAST, load)] for pod, load in loads.items()}, **where)


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    need_prometheus()


@pytest.fixture
async def session() -> AsyncGenerator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def read(session: aiohttp.ClientSession, url: str, *pods: str, known_for: float = 300.0) -> Reading:
    """The reading of pods that have been ready for some time, and cannot be reached themselves."""
    clock = Clock()
    reader = SignalsReader(
        prometheus=Prometheus(session, url, monotonic=clock.monotonic),
        pods=PodMetrics(session, port=1, timeout_seconds=1.0),
        monotonic=clock.monotonic,
    )
    addresses = dict.fromkeys(pods, NOWHERE)
    await reader.read_signals(KAT, addresses)
    clock.advance(known_for)
    return await reader.read_signals(KAT, addresses)


async def test_the_load_that_was_put_in_is_read(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    write_past(tmp_path, steady({"a": Load(0.2, 1.0), "b": Load(0.4, 2.0)}))
    with running_prometheus(tmp_path) as (_, url):
        reading = await read(session, url, "a", "b")
    signals = reading.signals
    assert signals is not None, reading
    on, off, undecided = (signals.modes[mode] for mode in Mode)
    assert on.arrivals_per_second == pytest.approx(0.6, rel=0.1)
    assert off.arrivals_per_second == pytest.approx(3.0, rel=0.1)
    assert (on.in_flight, off.in_flight, undecided.in_flight) == pytest.approx((24, 24, 0))
    assert (on.tokens_per_request, off.tokens_per_request) == pytest.approx((1_000, 200))
    assert (on.seconds_per_request, off.seconds_per_request) == pytest.approx((40, 8))
    # Between the bounds of the buckets that 36 s and 7.2 s lie in.
    assert on.time_to_first_answer_token == pytest.approx(20 + 0.95 * 20)
    assert off.time_to_first_answer_token == pytest.approx(5 + 0.95 * 5)
    assert signals.seconds_per_token == pytest.approx(0.04)
    assert signals.think_on_share == pytest.approx(1 / 6)
    assert [(replica.pod, replica.queued, replica.kv_cache_usage) for replica in signals.replicas] == [
        ("a", 3, 0.5),
        ("b", 3, 0.5),
    ]
    assert reading.reason is Reason.FOUND


async def test_a_pod_that_is_gone_lingers_in_prometheus_and_not_in_the_load(
    session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    write_past(tmp_path, steady({"a": Load(0.0, 1.0), "gone": Load(0.0, 9.0)}))
    with running_prometheus(tmp_path) as (_, url):
        signals = (await read(session, url, "a")).signals
    assert signals is not None
    assert signals.in_flight == pytest.approx(8)
    assert signals.modes[Mode.OFF].arrivals_per_second == pytest.approx(1.0, rel=0.1)


async def test_metrics_that_came_by_two_ways_count_once(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    """As of a router that re-exports its replicas, or of two Prometheus servers behind one query address."""
    ways = [steady({"a": Load(0.0, 1.0)}, more_labels={"instance": way}) for way in ("10.0.0.7:8080", "router:9000")]
    write_past(tmp_path, (line for way in ways for line in way))
    with running_prometheus(tmp_path) as (_, url):
        signals = (await read(session, url, "a")).signals
    assert signals is not None
    assert signals.in_flight == pytest.approx(8)
    assert signals.modes[Mode.OFF].arrivals_per_second == pytest.approx(1.0, rel=0.1)
    assert signals.queued == 3


async def test_metrics_that_stopped_are_stale(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    """Prometheus itself answers with a last value for five minutes."""
    write_past(tmp_path, steady({"a": Load(0.2, 1.0)}, ended_ago=60))
    with running_prometheus(tmp_path) as (_, url):
        reading = await read(session, url, "a")
    assert (reading.signals, reading.reason) == (None, Reason.STALE)


async def test_metrics_that_prometheus_does_not_have_are_missing(
    session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    with running_prometheus(tmp_path) as (_, url):
        reading = await read(session, url, "a")
    assert (reading.signals, reading.reason) == (None, Reason.MISSING)


async def test_a_prometheus_that_is_away_is_told_so(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    with running_prometheus(tmp_path) as (part, url):
        part.stop(timeout=30)
        reading = await read(session, url, "a")
    assert (reading.signals, reading.reason) == (None, Reason.PROMETHEUS_UNREACHABLE)


async def test_two_hundred_services_cost_one_query(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    asked = 0

    async def count(*_: object) -> None:
        nonlocal asked
        asked += 1

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(count)
    with running_prometheus(tmp_path) as (_, url):
        async with aiohttp.ClientSession(trace_configs=[trace]) as counted:
            prometheus = Prometheus(counted, url)
            await asyncio.gather(*(prometheus.samples() for _ in range(200)))
    assert asked == 1


async def test_a_change_is_read_with_the_next_scrape(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    replica = Replica()
    with served({"a": replica}) as (addresses, port):
        targets = {f"{address}:{port}": pod_labels(pod) for pod, address in addresses.items()}
        with running_prometheus(tmp_path, targets=targets, interval="1s") as (_, url):
            reader = SignalsReader(
                prometheus=Prometheus(session, url, max_age_seconds=0.0), pods=PodMetrics(session, port=1)
            )

            async def in_flight() -> float | None:
                signals = (await reader.read_signals(KAT, dict.fromkeys(addresses, NOWHERE))).signals
                return None if signals is None else signals.in_flight

            async def until(expected: float) -> None:
                while await in_flight() != expected:  # noqa: ASYNC110 - Prometheus does not announce its scrapes
                    await asyncio.sleep(0.02)

            async with asyncio.timeout(20):
                await until(0)
            replica.runs(Mode.ON, 17)
            async with asyncio.timeout(5):
                await until(17)


async def test_the_pods_own_metrics_say_what_prometheus_says(session: aiohttp.ClientSession, tmp_path: Path) -> None:
    loads = {"a": Load(0.2, 1.0), "b": Load(0.4, 2.0)}
    write_past(tmp_path, steady(loads))
    with running_prometheus(tmp_path) as (_, url):
        scraped = (await read(session, url, *loads)).signals
    clock = Clock()
    replicas = {pod: Replica() for pod in loads}
    with served(replicas) as (addresses, port):
        reader = SignalsReader(
            prometheus=None, pods=PodMetrics(session, port=port, monotonic=clock.monotonic), monotonic=clock.monotonic
        )
        for _ in range(round(PAST / STEP)):
            for pod, replica in replicas.items():
                loads[pod].step(replica, STEP)
            clock.advance(STEP)
            own = await reader.read_signals(KAT, addresses)
    assert scraped is not None
    assert own.signals is not None, own
    assert own.reason is Reason.FROM_PODS
    assert own.signals.replicas == scraped.replicas
    assert own.signals.seconds_per_token == pytest.approx(scraped.seconds_per_token)
    for mode in (Mode.ON, Mode.OFF):
        one, other = own.signals.modes[mode], scraped.modes[mode]
        assert one.arrivals_per_second == pytest.approx(other.arrivals_per_second, rel=0.1)
        assert one.in_flight == other.in_flight
        assert one.tokens_per_request == pytest.approx(other.tokens_per_request)
        assert one.seconds_per_request == pytest.approx(other.seconds_per_request)
        assert one.time_to_first_answer_token == pytest.approx(other.time_to_first_answer_token)


async def test_while_prometheus_is_away_the_pods_are_asked_themselves(session: aiohttp.ClientSession) -> None:
    clock = Clock()
    replica = Replica()
    with served({"a": replica}) as (addresses, port):
        reader = SignalsReader(
            prometheus=Prometheus(session, f"http://{NOWHERE}:1", monotonic=clock.monotonic),
            pods=PodMetrics(session, port=port, monotonic=clock.monotonic),
            monotonic=clock.monotonic,
        )
        replica.runs(Mode.OFF, 5)
        first = await reader.read_signals(KAT, addresses)
        clock.advance(15)
        second = await reader.read_signals(KAT, addresses)
    assert (first.signals, first.reason) == (None, Reason.PROMETHEUS_UNREACHABLE)
    assert second.signals is not None
    assert (second.signals.in_flight, second.reason) == (5, Reason.FROM_PODS)


async def test_a_replica_that_does_not_answer_is_left_alone_for_a_while(session: aiohttp.ClientSession) -> None:
    """Time-outs of many would fill the ticks of all."""
    clock = Clock()
    replica = Replica()
    pods = PodMetrics(session, port=1, monotonic=clock.monotonic)
    assert await pods.samples(KAT, {"a": NOWHERE}) == {}
    with served({"a": replica}) as (addresses, port):
        pods._port = port
        for _ in range(2):
            assert await pods.samples(KAT, addresses) == {}
        clock.advance(15)
        assert await pods.samples(KAT, addresses) == {}
        clock.advance(15)
        assert set(await pods.samples(KAT, addresses)) == {"a"}
