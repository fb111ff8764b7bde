"""Put means stored, and is there to deliver until it is acknowledged."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
import pytest

from kat_predictor.outbox import Outbox
from tests.fakes.conditions import until
from tests.fakes.journal import FaultyJournal
from tests.fakes.outbox import acknowledge_oldest, found_after_death, put, waits_for_the_disk
from tests.fakes.tenants import a_usage_event


async def test_an_event_that_was_put_outlives_the_process(outbox: Outbox, path: Path) -> None:
    (event,) = await put(outbox)
    assert found_after_death(path) == [event]


async def test_putting_does_not_wait_for_the_disk(outbox: Outbox, journal: FaultyJournal) -> None:
    journal.disk.clear()
    await put(outbox)
    await until(lambda: journal.syncs)
    assert outbox.reserve().put(a_usage_event()).done()


async def test_the_disk_follows(outbox: Outbox, journal: FaultyJournal) -> None:
    await put(outbox, count=2)
    await outbox.synced()
    assert (journal.syncs, journal.unsynced()) == (1, None)


@waits_for_the_disk
async def test_committing_waits_for_the_disk(outbox: Outbox, journal: FaultyJournal) -> None:
    journal.disk.clear()
    stored = outbox.reserve().put(a_usage_event())
    await until(lambda: journal.syncs)
    assert not stored.done()
    journal.disk.set()
    await stored
    assert journal.unsynced() is None


@waits_for_the_disk
async def test_events_put_together_are_committed_together(outbox: Outbox, journal: FaultyJournal) -> None:
    journal.disk.clear()
    stored = [outbox.reserve().put(a_usage_event())]
    await until(lambda: journal.syncs)
    stored += [outbox.reserve().put(a_usage_event()) for _ in range(2)]
    journal.disk.set()
    await asyncio.gather(*stored)
    assert journal.syncs == 2


async def test_a_batch_holds_the_oldest_events_as_json(outbox: Outbox) -> None:
    events = await put(outbox, count=3)
    batch = await outbox.oldest(2)
    assert batch is not None
    assert [orjson.loads(body)["id"] for body in batch.bodies] == [str(event.id) for event in events[:2]]


async def test_an_empty_outbox_has_no_batch(outbox: Outbox) -> None:
    assert await outbox.oldest(10) is None


async def test_a_batch_that_is_not_acknowledged_comes_again(outbox: Outbox) -> None:
    await put(outbox, count=2)
    assert await outbox.oldest(10) == await outbox.oldest(10)


async def test_an_acknowledged_batch_is_gone(outbox: Outbox) -> None:
    events = await put(outbox, count=2)
    await acknowledge_oldest(outbox, 1)
    batch = await outbox.oldest(10)
    assert batch is not None
    assert [orjson.loads(body)["id"] for body in batch.bodies] == [str(events[1].id)]
    assert outbox.events == 1


async def test_only_the_oldest_batch_can_be_acknowledged(outbox: Outbox) -> None:
    await put(outbox, count=2)
    batch = await outbox.oldest(1)
    assert batch is not None
    await outbox.acknowledge(batch)
    with pytest.raises(ValueError, match="only the oldest"):
        await outbox.acknowledge(batch)


@waits_for_the_disk
async def test_an_event_whose_request_was_cancelled_is_stored_all_the_same(
    outbox: Outbox, journal: FaultyJournal, path: Path
) -> None:
    event = a_usage_event()

    async def request() -> None:
        await outbox.reserve().put(event)

    journal.disk.clear()
    task = asyncio.create_task(request())
    await until(lambda: journal.syncs)
    task.cancel()
    journal.disk.set()
    await outbox.synced()
    assert found_after_death(path) == [event]


async def test_waiting_for_events_ends_with_the_first(outbox: Outbox) -> None:
    waiting = asyncio.ensure_future(outbox.wait_for_events())
    await asyncio.sleep(0)
    assert not waiting.done()
    await put(outbox)
    await asyncio.wait_for(waiting, 5)
