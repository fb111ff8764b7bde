"""A journal whose disk is full, slow or broken, as a test says."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Sequence
from pathlib import Path

from kat_predictor.outbox_folder import Opened
from kat_predictor.outbox_journal import Journal, Segment, Unsynced
from kat_predictor.outbox_record import Record


class FaultyJournal(Journal):
    """A real journal in `folder`, with faults to switch on.

    Attributes:
        full: Nothing can be written.
        broken: Nothing reaches the disk.
        stuck: Nothing can be deleted.
        disk: Set while the disk answers; cleared, it is waited for.
        syncs: How often the disk was asked to take something.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        super().__init__(folder, lock=os.open(folder / "lock", os.O_CREAT | os.O_RDWR))
        self.full = False
        self.broken = False
        self.stuck = False
        self.disk = threading.Event()
        self.disk.set()
        self.syncs = 0

    def append(self, records: Sequence[Record]) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().append(records)

    def sync(self, work: Unsynced) -> None:
        self.syncs += 1
        if not self.disk.wait(10):
            raise TimeoutError("the test never let the disk answer")
        if self.broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync(work)

    def remove(self, segment: Segment) -> None:
        if self.stuck:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        super().remove(segment)

    def opened(self) -> Opened:
        """This journal, as an outbox takes it."""
        return Opened(self, [])
