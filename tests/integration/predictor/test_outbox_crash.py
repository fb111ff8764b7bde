"""The outbox outlives the death of its process, and a disk that takes no more."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import orjson

from kat_predictor.outbox import Outbox
from kat_predictor.outbox_folder import open_journal

_PUT_FOR_EVER = """
import asyncio, sys
from pathlib import Path
from kat_predictor.outbox import Outbox
from tests.fakes.tenants import a_usage_event

async def put_for_ever(outbox):
    while True:
        event = a_usage_event()
        await outbox.reserve().put(event)
        print(event.id, flush=True)  # what a client would take for a whole response
        await asyncio.sleep(0)

async def main():
    outbox = await Outbox.open(Path(sys.argv[1]), max_events=10**9)
    await asyncio.gather(*(put_for_ever(outbox) for _ in range(16)))

asyncio.run(main())
"""

_PUT_AND_DELIVER = """
import asyncio, sys
from pathlib import Path
import httpx, orjson
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from kat_predictor.delivery import Delivery
from kat_predictor.metrics import Metrics
from kat_predictor.outbox import Outbox
from tests.fakes.tenants import a_usage_event

def acknowledge(request):
    ids = [event["id"] for event in orjson.loads(request.content)]
    for event_id in ids:
        print("delivered", event_id, flush=True)
    return httpx.Response(200, json={"new": len(ids), "duplicate": 0, "rejected": 0})

async def main():
    outbox = await Outbox.open(Path(sys.argv[1]), max_events=10**9)
    client = httpx.AsyncClient(transport=httpx.MockTransport(acknowledge), base_url="http://metering")
    delivery = Delivery(
        outbox=outbox, client=client, token=SecretStr("s"), metrics=Metrics(CollectorRegistry()), linger_seconds=0.001
    )
    run = asyncio.create_task(delivery.run())
    while True:
        event = a_usage_event()
        await outbox.reserve().put(event)
        print("put", event.id, flush=True)
        await asyncio.sleep(0)

asyncio.run(main())
"""

_FILL_THE_DISK = """
import asyncio, resource, sys
from pathlib import Path
from kat_predictor.errors import OutboxFull
from kat_predictor.outbox import Outbox
from tests.fakes.tenants import a_usage_event

LIMIT = 256 * 1024

async def main():
    outbox = await Outbox.open(Path(sys.argv[1]), max_events=10**9)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, resource.RLIM_INFINITY))  # writes beyond it fail
    stored = []
    try:
        while True:
            stored.append(outbox.reserve().put(a_usage_event()))
            await asyncio.wait(stored[-1:], timeout=1)
    except OutboxFull:
        print("refused with", sum(not future.done() for future in stored), "waiting")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await asyncio.wait_for(asyncio.gather(*stored), 10)
    outbox.reserve().release()
    await outbox.close()
    print(len(stored))

asyncio.run(main())
"""


def ids_in(path: Path) -> set[str]:
    ids: set[str] = set()
    with closing(open_journal(path).journal) as journal:
        while (segment := journal.oldest()) is not None:
            batch = journal.read(segment, 1_000)
            ids |= {orjson.loads(body)["id"] for body in batch.bodies}
            journal.acknowledge(batch)
    return ids


def test_every_event_that_was_put_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "outbox"
    with subprocess.Popen(
        [sys.executable, "-c", _PUT_FOR_EVER, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        told = [process.stdout.readline().strip() for _ in range(2_000)]
        process.kill()
        told += [line.strip() for line in process.stdout if line.endswith("\n")]
    assert set(told) <= ids_in(path)


def test_every_event_that_was_put_is_delivered_or_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "outbox"
    with subprocess.Popen(
        [sys.executable, "-c", _PUT_AND_DELIVER, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3_000)]
        process.kill()
        lines += [line for line in process.stdout if line.endswith("\n")]
    told = {line.split()[1] for line in lines if line.startswith("put")}
    delivered = {line.split()[1] for line in lines if line.startswith("delivered")}
    assert delivered, "it was killed before anything was delivered"
    assert told <= delivered | ids_in(path)


def test_an_outbox_left_by_kill_9_is_delivered_from(tmp_path: Path) -> None:
    path = tmp_path / "outbox"
    with subprocess.Popen(
        [sys.executable, "-c", _PUT_FOR_EVER, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline().strip()
        process.kill()

    async def after_restart() -> list[bytes]:
        outbox = await Outbox.open(path, max_events=10)
        batch = await outbox.oldest(1_000)
        await outbox.close()
        return [] if batch is None else list(batch.bodies)

    assert first in {orjson.loads(body)["id"] for body in asyncio.run(after_restart())}


def test_a_disk_that_takes_no_more_refuses_requests_and_loses_no_event(tmp_path: Path) -> None:
    path = tmp_path / "outbox"
    result = subprocess.run(
        [sys.executable, "-c", _FILL_THE_DISK, str(path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "refused with 1 waiting" in result.stdout.splitlines()
    assert len(ids_in(path)) == int(result.stdout.splitlines()[-1])
