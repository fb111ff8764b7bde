"""Full means refused, never dropped; put means on disk."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import closing
from pathlib import Path

import orjson
import pytest
import structlog.testing

from kat.usage_event import UsageEvent
from kat_predictor.errors import EventNotStored, OutboxFull
from kat_predictor.outbox import Outbox
from kat_predictor.outbox_file import OutboxFile
from tests.fakes.clock import Clock
from tests.fakes.conditions import until
from tests.fakes.tenants import a_usage_event


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite3"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(path: Path) -> OutboxFile:
    return OutboxFile.open(path)


@pytest.fixture
async def outbox(file: OutboxFile, clock: Clock) -> AsyncGenerator[Outbox]:
    outbox = Outbox(file, max_events=3, clock=clock.time, retry_seconds=0.001)
    yield outbox
    await outbox.close()


def no_more_pages(file: OutboxFile) -> None:
    """A full disk: the database may not grow by a single page."""
    (pages,) = file._connection.execute("PRAGMA page_count").fetchone()
    file._connection.execute(f"PRAGMA max_page_count = {pages}")


def more_pages(file: OutboxFile) -> None:
    file._connection.execute("PRAGMA max_page_count = 1000000")


def a_large_event() -> UsageEvent:
    """Larger than the one page that an empty outbox has for events. (A copy is not validated.)"""
    event = a_usage_event()
    return event.model_copy(update={"data": event.data.model_copy(update={"labels": {"large": "x" * 5_000}})})


def copied(path: Path) -> Path:
    """The files as they are on disk at this moment."""
    for name in (path.name, f"{path.name}-wal"):
        path.with_name(f"copy-of-{name}").write_bytes(path.with_name(name).read_bytes())
    return path.with_name(f"copy-of-{path.name}")


async def put(outbox: Outbox, *, count: int = 1) -> list[UsageEvent]:
    events = [a_usage_event() for _ in range(count)]
    for event in events:
        await outbox.reserve().put(event)
    return events


async def until_refused(outbox: Outbox) -> None:
    await until(lambda: outbox._failure)


async def test_an_event_that_was_put_is_on_disk(outbox: Outbox, path: Path) -> None:
    """What another process would find after this one's death: the file and its log, copied."""
    (event,) = await put(outbox)
    with closing(OutboxFile.open(copied(path))) as found:
        assert [UsageEvent.model_validate_json(body) for _, body in found.oldest(10)] == [event]


async def test_a_batch_holds_the_oldest_events_as_json(outbox: Outbox) -> None:
    events = await put(outbox, count=3)
    batch = await outbox.oldest(2)
    assert batch is not None
    assert [orjson.loads(body)["id"] for body in batch.bodies] == [str(event.id) for event in events[:2]]


async def test_an_empty_outbox_has_no_batch(outbox: Outbox) -> None:
    assert await outbox.oldest(10) is None


async def test_an_acknowledged_batch_is_gone(outbox: Outbox) -> None:
    await put(outbox, count=2)
    batch = await outbox.oldest(1)
    assert batch is not None
    await outbox.acknowledge(batch)
    assert outbox.events == 1


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
    batch = await outbox.oldest(3)
    assert batch is not None
    await outbox.acknowledge(batch)
    outbox.reserve()


async def test_events_of_an_earlier_run_take_their_places(path: Path) -> None:
    with closing(OutboxFile.open(path)) as file:
        file.write([(0.0, b"{}")] * 3)
    outbox = await Outbox.open(path, max_events=3)
    with pytest.raises(OutboxFull):
        outbox.reserve()
    await outbox.close()


async def test_an_event_whose_request_was_cancelled_is_stored_all_the_same(outbox: Outbox) -> None:
    async def request() -> None:
        await outbox.reserve().put(a_usage_event())

    task = asyncio.create_task(request())
    await asyncio.sleep(0)
    task.cancel()
    async with asyncio.timeout(5):
        await outbox.wait_for_events()
    assert outbox.events == 1


async def test_events_put_together_share_a_commit(
    outbox: Outbox, file: OutboxFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = []
    write = file.write
    writing = threading.Event()

    def slow_write(events: Sequence[tuple[float, bytes]], *, delete_up_to: int | None = None) -> None:
        commits.append(len(events))
        writing.wait(5)
        write(events, delete_up_to=delete_up_to)

    monkeypatch.setattr(file, "write", slow_write)
    stored = [outbox.reserve().put(a_usage_event())]
    await until(lambda: commits)
    stored += [outbox.reserve().put(a_usage_event()) for _ in range(2)]
    writing.set()
    await asyncio.gather(*stored)
    assert commits == [1, 2]


async def test_the_age_is_that_of_the_oldest_event(outbox: Outbox, clock: Clock) -> None:
    await put(outbox)
    clock.advance(40)
    await put(outbox)
    clock.advance(2)
    assert outbox.oldest_age_seconds() == pytest.approx(42)


async def test_an_empty_outbox_has_no_age(outbox: Outbox, clock: Clock) -> None:
    await put(outbox)
    batch = await outbox.oldest(1)
    assert batch is not None
    await outbox.acknowledge(batch)
    clock.advance(40)
    assert outbox.oldest_age_seconds() == 0


async def test_a_full_disk_refuses_new_requests_and_keeps_the_events_of_running_ones(
    outbox: Outbox, file: OutboxFile
) -> None:
    reservations = [outbox.reserve(), outbox.reserve()]
    no_more_pages(file)
    stored = [reservation.put(a_large_event()) for reservation in reservations]
    await until_refused(outbox)
    with pytest.raises(OutboxFull, match="cannot be recorded"):
        outbox.reserve()
    assert (outbox.events, [future.done() for future in stored]) == (2, [False, False])
    more_pages(file)
    await asyncio.wait_for(asyncio.gather(*stored), 5)
    assert (outbox.events, file.count) == (2, 2)
    outbox.reserve()


async def test_acknowledging_on_a_full_disk_lets_the_waiting_events_in(outbox: Outbox, file: OutboxFile) -> None:
    reservations = [outbox.reserve(), outbox.reserve()]
    await reservations[0].put(a_large_event())
    no_more_pages(file)
    stored = reservations[1].put(a_large_event())
    batch = await outbox.oldest(1)
    assert batch is not None
    await outbox.acknowledge(batch)
    await asyncio.wait_for(stored, 5)
    assert outbox.events == 1


async def test_the_age_counts_from_an_event_that_cannot_be_written(
    outbox: Outbox, file: OutboxFile, clock: Clock
) -> None:
    reservation = outbox.reserve()
    no_more_pages(file)
    reservation.put(a_large_event())
    await until_refused(outbox)
    clock.advance(30)
    assert outbox.oldest_age_seconds() == pytest.approx(30)
    more_pages(file)


async def test_an_event_that_could_not_be_written_before_the_end_is_in_the_log(path: Path) -> None:
    file = OutboxFile.open(path)
    outbox = Outbox(file, max_events=3)
    event = a_large_event()
    reservation = outbox.reserve()
    no_more_pages(file)
    with structlog.testing.capture_logs() as logs:
        stored = reservation.put(event)
        await outbox.close()
    with pytest.raises(EventNotStored):
        await stored
    (logged,) = [log["event_json"] for log in logs if log["event"] == "usage_event_not_stored"]
    assert logged == event.model_dump_json()


async def test_closing_writes_what_is_left(path: Path) -> None:
    outbox = await Outbox.open(path, max_events=3)
    stored = outbox.reserve().put(a_usage_event())
    await outbox.close()
    await stored
    with closing(OutboxFile.open(path)) as file:
        assert file.count == 1


async def test_a_closed_outbox_takes_no_event(path: Path) -> None:
    outbox = await Outbox.open(path, max_events=3)
    reservation = outbox.reserve()
    await outbox.close()
    with pytest.raises(EventNotStored):
        await reservation.put(a_usage_event())


async def test_a_file_that_cannot_be_read_fails_the_reader(
    outbox: Outbox, file: OutboxFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: int) -> list[tuple[int, bytes]]:
        raise sqlite3.DatabaseError("malformed")

    monkeypatch.setattr(file, "oldest", broken)
    with pytest.raises(sqlite3.DatabaseError):
        await outbox.oldest(1)
