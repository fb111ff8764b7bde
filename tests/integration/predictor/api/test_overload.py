"""A minute of ten times more requests than the replica can serve."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import httpx
import orjson
import pytest

from kat.directory import ApiKey, Directory, Limits, Tenant, hash_api_key
from kat.usage_event import Status
from tests.fakes.predictor import MODEL
from tests.integration.predictor.api.conftest import Server, running_server, scripted_command, wait_until

SECONDS: Final = 60
PLACES: Final = 2
CALL_SECONDS: Final = 0.2
CAPACITY: Final = PLACES / CALL_SECONDS
"""Requests a second."""
RATE: Final = 10 * CAPACITY
QUEUE: Final = 8
PATIENCE_SECONDS: Final = 20
"""Twenty times what a full queue takes; the machine may be busy with other tests."""
REPLY = "Easy.\n</judge>\n\n<think_off>\n<answer>\nForty-two.\n</answer>"
KEYS = {"free": "sk-kat-free", "limited": "sk-kat-limited"}
DIRECTORY = Directory(
    tenants=[Tenant(id="free", name="Free"), Tenant(id="limited", name="Limited", limits=Limits(concurrency=2))],
    keys=[
        ApiKey(id=UUID(int=number), tenant=tenant, sha256=hash_api_key(key))
        for number, (tenant, key) in enumerate(KEYS.items())
    ],
)


@dataclass
class Seen:
    """What clients saw."""

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    without_retry_after: int = 0
    usage: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    longest_queue: float = 0.0
    failed_probes: int = 0
    seconds: float = 0.0
    """From the first request to the last answer."""

    def count(self, *statuses: int) -> int:
        return sum(count for (_, status), count in self.statuses.items() if status in statuses)


@pytest.fixture
def server(tmp_path: Path) -> Generator[Server, None, None]:
    settings = {"KAT_MAX_CONCURRENT_REQUESTS": str(PLACES), "KAT_MAX_QUEUED_REQUESTS": str(QUEUE)}
    command = scripted_command(replies=[REPLY], call_seconds=CALL_SECONDS)
    with running_server(tmp_path / "home", command, settings, DIRECTORY) as running:
        running.wait_for("/v2/health/ready", 200)
        yield running


async def _one(client: httpx.AsyncClient, seen: Seen, number: int) -> None:
    tenant = ("free", "limited")[number % 2]
    stream = number % 4 < 2
    body: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Hello?"}], "stream": stream}
    if stream:
        body["stream_options"] = {"include_usage": True}
    began = asyncio.get_running_loop().time()
    response = await client.post("/v1/chat/completions", json=body, headers={"Authorization": f"Bearer {KEYS[tenant]}"})
    seen.slowest = max(seen.slowest, asyncio.get_running_loop().time() - began)
    seen.statuses[tenant, response.status_code] += 1
    if response.status_code != httpx.codes.OK:
        seen.without_retry_after += not int(response.headers.get("retry-after", "0"))
        return
    last = response.text.split("\n\n")[-3].removeprefix("data: ") if stream else response.text
    seen.usage.update(orjson.loads(last)["usage"]["kat_segments"])


async def _flood(url: str) -> Seen:
    """Requests at a fixed rate, whether or not earlier ones have been answered. A time-out is raised."""
    seen = Seen()
    loop = asyncio.get_running_loop()
    limits = httpx.Limits(max_connections=None)
    async with (
        httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECONDS, limits=limits) as client,
        asyncio.TaskGroup() as group,
    ):
        began = loop.time()
        for number in range(round(SECONDS * RATE)):
            await asyncio.sleep(began + number / RATE - loop.time())
            group.create_task(_one(client, seen, number))
            if number % RATE == 0:
                group.create_task(_look(client, seen))
    seen.seconds = loop.time() - began
    return seen


async def _look(client: httpx.AsyncClient, seen: Seen) -> None:
    probes = [(await client.get(f"/v2/health/{probe}")).status_code for probe in ("live", "ready")]
    seen.failed_probes += probes != [httpx.codes.OK, httpx.codes.OK]
    scraped = _metrics((await client.get("/metrics")).text)
    seen.longest_queue = max(seen.longest_queue, scraped[f'kat_requests_queued{{model="{MODEL}"}}'])


def _metrics(text: str) -> dict[str, float]:
    samples = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}


def _resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


@pytest.mark.timeout(300)
def test_ten_times_the_load_is_refused_in_good_order_and_what_is_accepted_is_accounted(server: Server) -> None:
    before = _resident_mib(server.process.pid)
    seen = asyncio.run(_flood(server.url))
    after = _resident_mib(server.process.pid)
    accepted, refused = seen.count(200), seen.count(429, 503)
    print(  # noqa: T201 - `pytest -s` shows how far from its limits this is
        f"{seen.seconds:.1f} s at {RATE:.0f}/s against a capacity of {CAPACITY:.0f}/s: {dict(seen.statuses)}, slowest "
        f"{seen.slowest:.2f} s, longest queue {seen.longest_queue:.0f}, resident {before:.1f} -> {after:.1f} MiB"
    )
    assert accepted + refused == SECONDS * RATE
    assert not seen.without_retry_after
    certain = {("free", 200), ("free", 503), ("limited", 200), ("limited", 429)}
    # Whether the full replica or its own limit refuses the limited tenant first is a matter of the moment.
    assert certain <= set(seen.statuses) <= certain | {("limited", 503)}
    assert 0.7 < accepted / seen.seconds / CAPACITY <= 1, "the replica serves what it can, and no more"
    assert 0 < seen.longest_queue <= QUEUE
    assert not seen.failed_probes, "a replica that is full is no reason to restart it"
    assert after - before < 32

    wait_until(lambda: len(server.metering.events) == accepted, "an event for every accepted request")
    events = [event.data for event in server.metering.events]
    assert {event.status for event in events} == {Status.OK}
    billed: Counter[str] = Counter()
    for event in events:
        billed.update(event.tokens.model_dump())
    assert billed == seen.usage
    scraped = _metrics(httpx.get(f"{server.url}/metrics").text)
    rejected = (name for name in scraped if name.startswith("kat_requests_total{") and 'status="rejected"' in name)
    assert refused == sum(scraped[name] for name in rejected)
