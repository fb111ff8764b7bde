"""Full means refused, never dropped; put means stored."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path

import orjson
import pytest
import structlog.testing

from kat.usage_event import UsageEvent
from kat_predictor.errors import EventNotStored, OutboxDamaged, OutboxFull
from kat_predictor.outbox import Outbox, Sync
from kat_predictor.outbox_folder import open_journal
from kat_predictor.outbox_record import Record
from tests.fakes.clock import Clock
from tests.fakes.conditions import until
from tests.fakes.journal import FaultyJournal
from tests.fakes.tenants import a_usage_event


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(path: Path) -> FaultyJournal:
    return FaultyJournal(path)


@pytest.fixture
def sync() -> Sync:
    return "group"


@pytest.fixture
async def outbox(journal: FaultyJournal, clock: Clock, sync: Sync) -> AsyncGenerator[Outbox]:
    outbox = Outbox(journal.opened(), max_events=3, sync=sync, clock=clock.time, retry_seconds=0.001)
    yield outbox
    journal.disk.set()
    await outbox.close()


waits_for_the_disk = pytest.mark.parametrize("sync", ["commit"])


def found_after_death(path: Path) -> list[UsageEvent]:
    """The events that a next process would find if this one ended now, without a word."""
    copy = path.with_name(f"copy-of-{path.name}")
    shutil.copytree(path, copy)
    with closing(open_journal(copy).journal) as journal:
        segment = journal.oldest()
        bodies = () if segment is None else journal.read(segment, 1_000).bodies
    return [UsageEvent.model_validate_json(body) for body in bodies]


async def put(outbox: Outbox, *, count: int = 1) -> list[UsageEvent]:
    events = [a_usage_event() for _ in range(count)]
    for event in events:
        await outbox.reserve().put(event)
    return events


def change(path: Path) -> None:
    """Change what lies on the disk, as a fault of the disk would."""
    (segment,) = path.glob("events-*")
    segment.write_bytes(segment.read_bytes().replace(b'"tenant"', b'"tenand"'))


async def acknowledge_oldest(outbox: Outbox, limit: int) -> None:
    batch = await outbox.oldest(limit)
    assert batch is not None
    await outbox.acknowledge(batch)


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


async def test_a_full_outbox_refuses(outbox: Outbox) -> None:
    await put(outbox, count=3)
    with pytest.raises(OutboxFull):
        outbox.reserve()


async def test_a_reserved_place_counts_as_taken(outbox: Outbox) -> None:
    for _ in range(3):
        outbox.reserve()
    with pytest.raises(OutboxFull):
        outbox.reserve()


async def test_a_released_place_is_free_again(outbox: Outbox) -> None:
    reservations = [outbox.reserve() for _ in range(3)]
    reservations[0].release()
    reservations[0].release()
    outbox.reserve()
    with pytest.raises(OutboxFull):
        outbox.reserve()


async def test_releasing_after_put_frees_nothing(outbox: Outbox) -> None:
    reservations = [outbox.reserve() for _ in range(3)]
    await reservations[0].put(a_usage_event())
    reservations[0].release()
    with pytest.raises(OutboxFull):
        outbox.reserve()


async def test_a_place_takes_one_event(outbox: Outbox) -> None:
    reservation = outbox.reserve()
    await reservation.put(a_usage_event())
    with pytest.raises(RuntimeError, match="takes one event"):
        reservation.put(a_usage_event())


async def test_acknowledging_makes_room(outbox: Outbox) -> None:
    await put(outbox, count=3)
    await acknowledge_oldest(outbox, 3)
    outbox.reserve()


async def test_events_of_an_earlier_run_take_their_places(path: Path) -> None:
    with closing(open_journal(path).journal) as journal:
        journal.append([Record(0.0, b"{}")] * 3)
    outbox = await Outbox.open(path, max_events=3)
    with pytest.raises(OutboxFull):
        outbox.reserve()
    await outbox.close()


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


async def test_the_age_is_that_of_the_oldest_event(outbox: Outbox, clock: Clock) -> None:
    await put(outbox)
    clock.advance(40)
    await put(outbox)
    clock.advance(2)
    assert outbox.oldest_age_seconds() == pytest.approx(42)


async def test_the_age_is_that_of_the_oldest_event_which_is_left(outbox: Outbox, clock: Clock) -> None:
    await put(outbox)
    clock.advance(40)
    await put(outbox)
    await acknowledge_oldest(outbox, 1)
    clock.advance(2)
    assert outbox.oldest_age_seconds() == pytest.approx(2)


async def test_an_empty_outbox_has_no_age(outbox: Outbox, clock: Clock) -> None:
    await put(outbox)
    await acknowledge_oldest(outbox, 1)
    clock.advance(40)
    assert outbox.oldest_age_seconds() == 0


async def test_a_full_disk_refuses_new_requests_and_keeps_the_events_of_running_ones(
    outbox: Outbox, journal: FaultyJournal, path: Path
) -> None:
    reservations = [outbox.reserve(), outbox.reserve()]
    events = [a_usage_event(), a_usage_event()]
    journal.full = True
    stored = [reservation.put(event) for reservation, event in zip(reservations, events, strict=True)]
    with pytest.raises(OutboxFull, match="cannot be recorded"):
        outbox.reserve()
    assert (outbox.events, [future.done() for future in stored]) == (2, [False, False])
    journal.full = False
    await asyncio.wait_for(asyncio.gather(*stored), 5)
    assert found_after_death(path) == events
    outbox.reserve()


async def test_events_that_cannot_be_written_are_not_there_to_deliver(outbox: Outbox, journal: FaultyJournal) -> None:
    journal.full, reservation = True, outbox.reserve()
    reservation.put(a_usage_event())
    assert await outbox.oldest(10) is None
    journal.full = False


async def test_acknowledging_on_a_full_disk_lets_the_waiting_events_in(path: Path) -> None:
    journal = FaultyJournal(path)
    outbox = Outbox(journal.opened(), max_events=3, retry_seconds=3_600)
    reservation = outbox.reserve()
    await put(outbox)
    journal.full = True
    stored = reservation.put(a_usage_event())
    journal.full = False
    await acknowledge_oldest(outbox, 1)
    await asyncio.wait_for(stored, 5)
    assert outbox.events == 1
    await outbox.close()


async def test_the_age_counts_from_an_event_that_cannot_be_written(
    outbox: Outbox, journal: FaultyJournal, clock: Clock
) -> None:
    journal.full, reservation = True, outbox.reserve()
    reservation.put(a_usage_event())
    clock.advance(30)
    assert outbox.oldest_age_seconds() == pytest.approx(30)
    journal.full = False


@pytest.mark.parametrize("sync", ["group", "commit"])
async def test_a_disk_that_fails_to_follow_refuses_new_requests_until_it_does(
    outbox: Outbox, journal: FaultyJournal
) -> None:
    journal.broken = True
    stored = outbox.reserve().put(a_usage_event())
    await until(lambda: outbox._sync_failed)
    with pytest.raises(OutboxFull, match="cannot be recorded"):
        outbox.reserve()
    journal.broken = False
    await asyncio.wait_for(stored, 5)
    await until(lambda: not outbox._sync_failed)
    outbox.reserve()


async def test_a_disk_that_fails_to_follow_is_in_the_log_once(outbox: Outbox, journal: FaultyJournal) -> None:
    journal.broken = True
    with structlog.testing.capture_logs() as logs:
        await put(outbox)
        await until(lambda: journal.syncs > 2)
        journal.broken = False
        await until(lambda: not outbox._sync_failed)
    assert [log["event"] for log in logs] == ["outbox_not_synced", "outbox_syncs_again"]


async def test_an_event_that_could_not_be_written_before_the_end_is_in_the_log(
    outbox: Outbox, journal: FaultyJournal
) -> None:
    event = a_usage_event()
    journal.full, reservation = True, outbox.reserve()
    with structlog.testing.capture_logs() as logs:
        stored = reservation.put(event)
        await outbox.close()
    with pytest.raises(EventNotStored):
        await stored
    (logged,) = [log["event_json"] for log in logs if log["event"] == "usage_event_not_stored"]
    assert logged == event.model_dump_json()


async def test_closing_tries_once_more_to_write_what_is_left(
    outbox: Outbox, journal: FaultyJournal, path: Path
) -> None:
    event = a_usage_event()
    journal.full, reservation = True, outbox.reserve()
    stored = reservation.put(event)
    journal.full = False
    await outbox.close()
    await stored
    assert found_after_death(path) == [event]


@waits_for_the_disk
async def test_closing_brings_what_is_left_to_the_disk(outbox: Outbox, journal: FaultyJournal) -> None:
    stored = outbox.reserve().put(a_usage_event())
    await outbox.close()
    await stored
    assert (journal.syncs, journal.unsynced()) == (1, None)


@waits_for_the_disk
async def test_closing_while_the_disk_confirms_nothing_says_so(outbox: Outbox, journal: FaultyJournal) -> None:
    journal.broken = True
    stored = outbox.reserve().put(a_usage_event())
    await outbox.close()
    with pytest.raises(EventNotStored, match="did not confirm"):
        await stored


async def test_closing_twice_is_closing_once(outbox: Outbox) -> None:
    await put(outbox)
    await outbox.close()
    await outbox.close()


async def test_a_closed_outbox_takes_no_event(path: Path) -> None:
    outbox = await Outbox.open(path, max_events=3)
    reservation = outbox.reserve()
    await outbox.close()
    with pytest.raises(EventNotStored):
        await reservation.put(a_usage_event())


async def test_events_that_cannot_be_read_fail_the_reader(outbox: Outbox, path: Path) -> None:
    await put(outbox)
    change(path)
    with pytest.raises(OutboxDamaged):
        await outbox.oldest(1)


async def test_a_segment_that_cannot_be_deleted_is_in_the_log_and_out_of_the_way(
    outbox: Outbox, journal: FaultyJournal
) -> None:
    await put(outbox)
    journal.stuck = True
    with structlog.testing.capture_logs() as logs:
        await acknowledge_oldest(outbox, 1)
    assert [log["event"] for log in logs] == ["outbox_segment_not_removed"]
    assert outbox.events == 0
