"""The outbox's folder: segments that are written once, read from the oldest on, and deleted whole. Blocking.

A segment takes new events until it holds a batch, or until the sender wants it. From then on it is sealed: nothing is
written to it any more, and once its last event is acknowledged its file is deleted. So deleting never competes with
writing, and nothing in a file is ever changed.

Two threads use a journal. One appends, takes the oldest segment and acknowledges; the other, with what the first
handed to it, reads, syncs and removes. Only the first touches the segment that takes events, only the second a
descriptor of a sealed one. The second also makes the next segment's file before it is needed.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

from kat.usage_event import MAX_BATCH
from kat_predictor.outbox_record import Record, decode, encode
from kat_predictor.outbox_write import pwrite

VERSION: Final = 2  # version 1 was a SQLite file


@dataclass(slots=True, eq=False)
class Segment:
    """One file. `size` counts the bytes of whole records; a failed write may have left more than that."""

    number: int
    path: Path
    descriptor: int | None = None
    size: int = 0
    events: int = 0  # not acknowledged
    acknowledged: int = 0  # bytes
    synced: int = 0  # bytes
    linked: bool = False  # its name is on the disk, too


class Unsynced(NamedTuple):
    """Segments with bytes that the disk may not have: the segment, its size, whether it is sealed."""

    segments: tuple[tuple[Segment, int, bool], ...]


class Batch(NamedTuple):
    """The oldest events: JSON objects, the segment that they are from, and where in it the last of them ends."""

    bodies: tuple[bytes, ...]
    segment: Segment
    end: int


def segment_name(number: int) -> str:
    """The file name of a segment. The version is part of it: a later format is told by its names."""
    return f"events-{number:012d}.v{VERSION}"


class Journal:
    """An open journal, locked for this process until it is closed or the process dies.

    Args:
        folder: Where segments are made.
        lock: Descriptor that holds the lock.
        segments: Those of earlier runs, oldest first.
        first_number: Of the next segment.
    """

    def __init__(self, folder: Path, *, lock: int, segments: Iterable[Segment] = (), first_number: int = 0) -> None:
        self._folder = folder
        self._lock = lock
        self._folder_descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._segments = deque(segments)
        self._numbers = count(first_number)
        self._newest = -1
        self._active: Segment | None = None
        self._spare: Segment | None = None

    def append(self, records: Sequence[Record]) -> None:
        """Hand records to the kernel, all or none: they survive the death of this process, not yet that of the machine.

        After a failure call it with the same records first, and further ones behind them: what a failed write left
        behind is then overwritten with the same bytes.

        Raises:
            OSError: Nothing was added.
        """
        segment = self._active or self._begin()
        assert segment.descriptor is not None  # noqa: S101 - for the type checker: a segment is closed once sealed
        content = b"".join(map(encode, records))
        written = 0
        while written < len(content):
            written += pwrite(segment.descriptor, content[written:], segment.size + written)
        segment.size += len(content)
        segment.events += len(records)
        if segment.events >= MAX_BATCH:
            self._active = None

    def oldest(self) -> Segment | None:
        """The segment to deliver from, sealed by this call; None when there are no events."""
        if not self._segments or not self._segments[0].events:
            return None
        if self._segments[0] is self._active:
            self._active = None
        return self._segments[0]

    def acknowledge(self, batch: Batch) -> Segment | None:
        """Never read the batch again. Returns its segment if that has to be removed now.

        Raises:
            ValueError: The batch is not the oldest one.
        """
        segment = batch.segment
        if not self._segments or self._segments[0] is not segment or batch.end <= segment.acknowledged:
            raise ValueError("only the oldest batch can be acknowledged")
        segment.acknowledged = batch.end
        segment.events -= len(batch.bodies)
        if segment.events:
            return None
        return self._segments.popleft()

    def unsynced(self) -> Unsynced | None:
        """What `sync` has to do; None when the disk has everything."""
        behind = tuple(
            (segment, segment.size, segment is not self._active)
            for segment in self._segments
            if segment.synced < segment.size
        )
        return Unsynced(behind) if behind else None

    # What follows is for the second thread.

    def sync(self, work: Unsynced) -> None:
        """Bring segments to the disk.

        Raises:
            OSError: Some of it may not be there.
        """
        present = [(segment, size, sealed) for segment, size, sealed in work.segments if segment.descriptor is not None]
        for segment, _, _ in present:
            assert segment.descriptor is not None  # noqa: S101 - for the type checker
            os.fdatasync(segment.descriptor)
        if self._spare is None:
            self._spare = self._make_spare()
        if not all(segment.linked for segment, _, _ in present):
            os.fsync(self._folder_descriptor)
        for segment, size, sealed in present:
            segment.linked = True
            segment.synced = size
            if sealed:
                _close(segment)

    def read(self, segment: Segment, limit: int) -> Batch:
        """At most `limit` of the oldest events of a sealed segment.

        Raises:
            OSError: It cannot be read.
            OutboxDamaged: It is not what was written.
        """
        with segment.path.open("rb") as file:
            file.seek(segment.acknowledged)
            content = file.read(segment.size - segment.acknowledged)
        lines = content.split(b"\n", limit)
        content = content[: len(content) - len(lines[-1])]
        return Batch(tuple(record.body for record in decode(content)), segment, segment.acknowledged + len(content))

    def remove(self, segment: Segment) -> None:
        """Delete a segment whose events are all acknowledged.

        Raises:
            OSError: It is still there, and will be delivered again after the next start.
        """
        _close(segment)
        segment.path.unlink()

    def close(self) -> None:
        """Let go of the folder and its lock. Neither thread may use the journal any more."""
        for segment in self._segments:
            _close(segment)
        if self._spare is not None:
            _close(self._spare)  # an empty file is deleted at the next start
        os.close(self._folder_descriptor)
        os.close(self._lock)

    def _begin(self) -> Segment:
        spare, self._spare = self._spare, None
        if spare is not None and spare.number < self._newest:
            # It was being made while the last segment was needed at once. Numbers must grow: they are the order of
            # delivery after the next start.
            self.remove(spare)
            spare = None
        segment = spare or self._make()
        self._newest = segment.number
        self._segments.append(segment)
        self._active = segment
        return segment

    def _make(self) -> Segment:
        number = next(self._numbers)
        path = self._folder / segment_name(number)
        return Segment(number, path, os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))

    def _make_spare(self) -> Segment | None:
        try:
            return self._make()
        except OSError:
            return None  # it will be made when it is needed, and be reported if it cannot be made then


def _close(segment: Segment) -> None:
    if segment.descriptor is not None:
        os.close(segment.descriptor)
        segment.descriptor = None
