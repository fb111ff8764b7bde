"""Segments are written once, read from the oldest on, and deleted whole."""

from __future__ import annotations

import errno
import os
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import pytest

from kat.usage_event import MAX_BATCH
from kat_predictor.outbox_folder import open_journal
from kat_predictor.outbox_journal import Batch, Journal
from kat_predictor.outbox_record import Record


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "outbox"


@pytest.fixture
def journal(folder: Path) -> Generator[Journal]:
    with closing(open_journal(folder).journal) as journal:
        yield journal


def records(*bodies: bytes) -> list[Record]:
    return [Record(1.5, body) for body in bodies]


def read(journal: Journal, limit: int = MAX_BATCH) -> Batch:
    segment = journal.oldest()
    assert segment is not None
    return journal.read(segment, limit)


def segments(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("events-*"))


def sync(journal: Journal) -> None:
    work = journal.unsynced()
    assert work is not None
    journal.sync(work)


def test_events_come_out_in_the_order_in_which_they_went_in(journal: Journal) -> None:
    journal.append(records(b"a", b"b"))
    journal.append(records(b"c"))
    assert read(journal).bodies == (b"a", b"b", b"c")


def test_no_more_events_come_out_than_were_asked_for(journal: Journal) -> None:
    journal.append(records(b"a", b"b"))
    assert read(journal, 1).bodies == (b"a",)


def test_an_empty_journal_has_nothing_to_deliver(journal: Journal) -> None:
    assert journal.oldest() is None


def test_reading_goes_on_behind_what_was_acknowledged(journal: Journal) -> None:
    journal.append(records(b"a", b"b", b"c"))
    assert journal.acknowledge(read(journal, 2)) is None
    assert read(journal).bodies == (b"c",)


def test_a_segment_is_removed_with_its_last_event(journal: Journal, folder: Path) -> None:
    journal.append(records(b"a", b"b"))
    finished = journal.acknowledge(read(journal))
    assert finished is not None
    journal.remove(finished)
    assert (segments(folder), journal.oldest()) == ([], None)


def test_what_is_written_after_reading_began_is_in_the_next_segment(journal: Journal) -> None:
    journal.append(records(b"a"))
    batch = read(journal)
    journal.append(records(b"b"))
    assert batch.bodies == read(journal).bodies == (b"a",)
    journal.acknowledge(batch)
    assert read(journal).bodies == (b"b",)


def test_a_segment_holds_one_batch(journal: Journal, folder: Path) -> None:
    for _ in range(MAX_BATCH + 1):
        journal.append(records(b"a"))
    assert len(segments(folder)) == 2
    assert len(read(journal, 2 * MAX_BATCH).bodies) == MAX_BATCH


def test_a_batch_of_an_earlier_time_cannot_be_acknowledged_again(journal: Journal) -> None:
    journal.append(records(b"a", b"b", b"c"))
    batch = read(journal, 1)
    journal.acknowledge(batch)
    with pytest.raises(ValueError, match="only the oldest"):
        journal.acknowledge(batch)


def test_what_was_written_is_unsynced_until_it_was_synced(journal: Journal) -> None:
    assert journal.unsynced() is None
    journal.append(records(b"a"))
    sync(journal)
    assert journal.unsynced() is None
    journal.append(records(b"b"))
    assert journal.unsynced() is not None


def test_the_disk_is_asked_for_each_segment_and_for_the_name_of_a_new_one(
    journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: asked.append(f"fdatasync {name_of(descriptor)}"))
    monkeypatch.setattr(os, "fsync", lambda descriptor: asked.append(f"fsync {name_of(descriptor)}"))
    journal.append(records(b"a"))
    journal.oldest()
    journal.append(records(b"b"))
    sync(journal)
    journal.append(records(b"c"))
    sync(journal)
    first, second = segments(folder)[:2]
    assert asked == [f"fdatasync {first}", f"fdatasync {second}", "fsync outbox", f"fdatasync {second}"]


def test_a_segment_that_was_removed_meanwhile_is_not_synced(journal: Journal) -> None:
    journal.append(records(b"a"))
    batch = read(journal)
    work = journal.unsynced()
    assert work is not None
    finished = journal.acknowledge(batch)
    assert finished is not None
    journal.remove(finished)
    journal.sync(work)
    assert journal.unsynced() is None


def test_after_a_sync_the_next_segment_is_at_hand(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Making a file costs more than a write, so it is not done while a request waits."""
    journal.append(records(b"a"))
    sync(journal)
    batch = read(journal)
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        journal.append(records(b"b"))
    journal.acknowledge(batch)
    assert read(journal).bodies == (b"b",)


def test_segments_are_numbered_as_they_are_used(journal: Journal, folder: Path) -> None:
    """A spare that was made while the next segment was needed already is not used after that one."""
    journal.append(records(b"a"))
    spare = journal._make()
    seal(journal)
    journal.append(records(b"b"))
    journal._spare = spare
    seal(journal)
    journal.append(records(b"c"))
    assert found_after_death(folder) == [b"a", b"b", b"c"]


def test_a_disk_without_room_for_the_next_segment_is_synced(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    journal.append(records(b"a"))
    monkeypatch.setattr(os, "open", refuse)
    sync(journal)
    assert journal.unsynced() is None


def test_sealed_and_synced_segments_hold_no_descriptor(journal: Journal) -> None:
    journal.append(records(b"a"))
    sync(journal)
    before = open_descriptors()
    for _ in range(5 * MAX_BATCH):
        journal.append(records(b"a"))
    sync(journal)
    assert open_descriptors() == before


def test_a_write_that_failed_half_way_leaves_no_trace(
    journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.append(records(b"a"))
    full_after(13, monkeypatch)
    with pytest.raises(OSError, match="No space"):
        journal.append(records(b"b"))
    monkeypatch.undo()
    journal.append(records(b"b", b"c"))
    assert read(journal).bodies == (b"a", b"b", b"c")
    assert found_after_death(folder) == [b"a", b"b", b"c"]


def test_a_death_after_a_write_that_failed_half_way_loses_nothing_else(
    journal: Journal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.append(records(b"a"))
    full_after(13, monkeypatch)
    with pytest.raises(OSError, match="No space"):
        journal.append(records(b"b"))
    assert found_after_death(folder) == [b"a"]


def refuse(*_: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def seal(journal: Journal) -> None:
    """As when the segment that takes events is full."""
    journal._active = None


def name_of(descriptor: int) -> str:
    return Path(f"/proc/self/fd/{descriptor}").readlink().name


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def full_after(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk takes `room` bytes more."""
    left = [room]

    def pwrite(descriptor: int, content: bytes, offset: int) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = os.pwrite(descriptor, content[: left[0]], offset)
        left[0] -= written
        return written

    monkeypatch.setattr("kat_predictor.outbox_journal.pwrite", pwrite)


def found_after_death(folder: Path) -> list[bytes]:
    copy = folder.with_name("copy")
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    with closing(open_journal(copy).journal) as journal:
        found: list[bytes] = []
        while journal.oldest() is not None:
            batch = read(journal)
            found += batch.bodies
            journal.acknowledge(batch)
        return found
