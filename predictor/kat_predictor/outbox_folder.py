"""Opens the outbox's folder: locks it, reads what earlier runs left, takes over an outbox of version 1. Blocking."""

from __future__ import annotations

import fcntl
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from kat.usage_event import MAX_BATCH
from kat_predictor import outbox_version1
from kat_predictor.errors import OutboxDamaged, OutboxUnusable
from kat_predictor.outbox_journal import VERSION, Journal, Segment
from kat_predictor.outbox_record import UNWRITTEN, decode, whole_lines

_log = structlog.get_logger(__name__)
_SEGMENT_NAME: Final = re.compile(r"events-(\d{12})\.v(\d+)")
_LOCK_WAIT_SECONDS: Final = 2.0  # a predecessor on the same volume may be about to let go
_LOCK_POLL_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Opened:
    """A journal, and when each of the events in it was put: Unix times in seconds, oldest first."""

    journal: Journal
    stored_at: list[float]


def open_journal(folder: Path) -> Opened:
    """Open or make the outbox in `folder`.

    Where `folder` is a file, or a file `<folder>.sqlite3` lies beside it, that is an outbox of version 1; its events
    are taken over and the file is deleted. A death in between repeats that, and metering takes no notice of an event
    that comes twice.

    Raises:
        OutboxUnusable: It is damaged, in use, not an outbox, or not writable.
    """
    version1 = folder.with_name(f"{folder.name}.sqlite3")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.is_file():
            outbox_version1.move_aside(folder, version1)
        if not folder.is_dir():
            folder.mkdir(mode=0o700)
            _sync_name(folder)
        return _open_locked(folder, version1)
    except OSError as error:
        raise OutboxUnusable(
            f"the outbox {folder} cannot be opened ({error}); KAT_OUTBOX_PATH must be writable"
        ) from error


def _open_locked(folder: Path, version1: Path) -> Opened:
    lock = _lock(folder)
    try:
        opened = _read(folder, lock)
        if version1.is_file():
            opened.stored_at.extend(_take_over(version1, opened.journal))
    except BaseException:
        os.close(lock)
        raise
    else:
        return opened


def _lock(folder: Path) -> int:
    """Take the lock. A second predictor on the same folder fails at its start, where it can be read about."""
    descriptor = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    until = time.monotonic() + _LOCK_WAIT_SECONDS
    while True:
        try:
            # Not `flock`, which an engine's forked process would go on holding after our death.
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            if time.monotonic() < until:
                time.sleep(_LOCK_POLL_SECONDS)
                continue
            os.close(descriptor)
            raise OutboxUnusable(
                f"the outbox {folder} is in use by another process; give each predictor its own KAT_OUTBOX_PATH"
            ) from None
        return descriptor


def _read(folder: Path, lock: int) -> Opened:
    segments: list[Segment] = []
    stored_at: list[float] = []
    first_number = 0
    for path in sorted(folder.iterdir()):
        name = _SEGMENT_NAME.fullmatch(path.name)
        if name is None:
            continue  # the lock, or what a volume brings along
        number, version = map(int, name.groups())
        if version != VERSION:
            raise OutboxUnusable(f"{path} has outbox version {version}, this program reads version {VERSION}")
        first_number = number + 1
        segment, times = _segment(number, path)
        if times:
            segments.append(segment)
            stored_at.extend(times)
        else:
            path.unlink()
    return Opened(Journal(folder, lock=lock, segments=segments, first_number=first_number), stored_at)


def _segment(number: int, path: Path) -> tuple[Segment, list[float]]:
    """A segment of an earlier run.

    A record that was cut short is left out. Where the process died, its request's answer had not ended; where the
    machine did, it is one of the last that the disk had not got.
    """
    content = path.read_bytes()
    size = whole_lines(content)
    if size < len(content) or UNWRITTEN in content:
        _log.warning("outbox_record_cut_short", path=str(path), bytes=len(content) - size)
    try:
        stored_at = [record.stored_at for record in decode(content[:size])]
    except OutboxDamaged as error:
        raise OutboxUnusable(
            f"the outbox {path} is damaged ({error}); move it away to start without it, and keep it: unsent usage may be in it"
        ) from error
    return Segment(number, path, size=size, events=len(stored_at), synced=size, linked=True), stored_at


def _take_over(version1: Path, journal: Journal) -> list[float]:
    records = outbox_version1.read(version1)
    for first in range(0, len(records), MAX_BATCH):
        journal.append(records[first : first + MAX_BATCH])
    work = journal.unsynced()
    if work is not None:
        journal.sync(work)
    outbox_version1.remove(version1)
    _log.info("outbox_taken_over", path=str(version1), events=len(records))
    return [record.stored_at for record in records]


def _sync_name(folder: Path) -> None:
    """Bring the folder's own name to the disk."""
    descriptor = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
