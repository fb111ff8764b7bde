"""A disk that is full, broken or damaged refuses new requests and loses nothing of those that run."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import structlog.testing

from kat_predictor.errors import OutboxDamaged, OutboxFull
from kat_predictor.outbox import Outbox
from tests.fakes.clock import Clock
from tests.fakes.conditions import until
from tests.fakes.journal import FaultyJournal
from tests.fakes.outbox import acknowledge_oldest, found_after_death, put
from tests.fakes.tenants import a_usage_event


def change(path: Path) -> None:
    """Change what lies on the disk, as a fault of the disk would."""
    (segment,) = path.glob("events-*")
    segment.write_bytes(segment.read_bytes().replace(b'"tenant"', b'"tenand"'))


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
