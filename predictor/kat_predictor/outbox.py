"""Usage events on disk until metering has acknowledged them.

    reservation = outbox.reserve()                     # at admission; refused when full
    try:
        ...                                            # the request runs
        await reservation.put(event)                   # returns when the event is stored
    finally:
        reservation.release()                          # of no effect after `put`

An accepted request can always write its event, because its place was reserved: full means refused, never dropped.
While the disk takes no writes, new requests are refused and the events of running ones are kept in memory and tried
again; `put` returns once they are written.

Stored means, by `sync`: handed to the kernel, with the disk following within milliseconds (`group`), or on the disk
(`commit`).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import structlog

from kat.usage_event import UsageEvent
from kat_predictor.errors import EventNotStored, OutboxFull
from kat_predictor.outbox_folder import Opened, open_journal
from kat_predictor.outbox_journal import Batch
from kat_predictor.outbox_record import Record

Sync = Literal["group", "commit"]

_log = structlog.get_logger(__name__)
_RETRY_SECONDS: Final = 0.5
_FULL_RETRY_AFTER_SECONDS: Final = 5.0
_GROUP_SECONDS: Final = 0.005
"""What was put in this time goes to the disk together."""


@dataclass(frozen=True, slots=True)
class _Put:
    record: Record
    done: asyncio.Future[None]


class Reservation:
    """A place for one event."""

    __slots__ = ("_outbox", "_used")

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._used = False

    def put(self, event: UsageEvent) -> asyncio.Future[None]:
        """Hand the event over; the future is done when it is stored, mostly already at return.

        From this call on the event will be written, whether or not somebody awaits the future, so that a cancelled
        request loses nothing.
        """
        if self._used:
            raise RuntimeError("a reservation takes one event")
        self._used = True
        return self._outbox._put(event)  # noqa: SLF001 - the two are one thing, split so that a place has an owner

    def release(self) -> None:
        """Give the place back, if it was not used."""
        if not self._used:
            self._used = True
            self._outbox._release()  # noqa: SLF001


class Outbox:
    """A bounded queue of usage events on disk. Its methods belong to the event loop that opened it.

    `put` writes in the loop's own thread: a write to the kernel's memory takes microseconds, handing it to a thread
    and back takes more. What waits for the disk (syncing, reading, deleting) is done by one other thread.
    """

    def __init__(
        self,
        opened: Opened,
        *,
        max_events: int,
        sync: Sync = "group",
        clock: Callable[[], float] = time.time,
        retry_seconds: float = _RETRY_SECONDS,
    ) -> None:
        self._journal = opened.journal
        self._max_events = max_events
        self._waits_for_disk = sync == "commit"
        self._group_seconds = 0.0 if self._waits_for_disk else _GROUP_SECONDS
        self._clock = clock
        self._retry_seconds = retry_seconds
        self._loop = asyncio.get_running_loop()
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="outbox-disk")
        self._reserved = 0
        self._stored_at = deque(opened.stored_at)  # of all events, those that are not written yet at the end
        self._unwritten: list[_Put] = []
        self._unsynced: list[asyncio.Future[None]] = []  # who waits for the disk to hold what is written
        self._write_timer: asyncio.TimerHandle | None = None  # a write has failed, and is to be tried again
        self._sync_timer: asyncio.TimerHandle | None = None
        self._syncing: asyncio.Future[None] | None = None
        self._sync_failed = False
        self._arrived = asyncio.Event()
        self._closed = False

    @classmethod
    async def open(cls, path: Path, *, max_events: int, sync: Sync = "group") -> Outbox:
        """Open or make the outbox in the folder `path`, with room for `max_events`.

        Raises:
            OutboxUnusable: It is damaged, in use, not ours, or not writable.
        """
        return cls(await asyncio.to_thread(open_journal, path), max_events=max_events, sync=sync)

    @property
    def events(self) -> int:
        """Events that metering has not acknowledged, those on their way to the disk included."""
        return len(self._stored_at)

    def oldest_age_seconds(self) -> float:
        """How long the oldest event has been waiting; 0 when there is none."""
        if not self._stored_at:
            return 0.0
        return max(0.0, self._clock() - self._stored_at[0])

    def reserve(self) -> Reservation:
        """A place for one event.

        Raises:
            OutboxFull: Every place is taken, or the disk takes no writes.
        """
        if self._write_timer is not None or self._sync_failed:
            raise OutboxFull(
                "Usage cannot be recorded at the moment, so no request is started; try again later.",
                retry_after=_FULL_RETRY_AFTER_SECONDS,
            )
        if len(self._stored_at) + self._reserved >= self._max_events:
            raise OutboxFull(
                "Too much usage waits to be delivered to metering, so no request is started; try again later.",
                retry_after=_FULL_RETRY_AFTER_SECONDS,
            )
        self._reserved += 1
        return Reservation(self)

    async def wait_for_events(self) -> None:
        """Return when there is something written to deliver."""
        while len(self._stored_at) <= len(self._unwritten):
            self._arrived.clear()
            await self._arrived.wait()

    async def oldest(self, limit: int) -> Batch | None:
        """At most `limit` of the oldest events; None when there are none.

        Raises:
            OSError: They cannot be read.
            OutboxDamaged: They are not what was written.
        """
        segment = self._journal.oldest()
        if segment is None:
            return None
        return await self._loop.run_in_executor(self._disk, self._journal.read, segment, limit)

    async def acknowledge(self, batch: Batch) -> None:
        """Forget a batch that was delivered, and delete it. It must be the oldest one."""
        finished = self._journal.acknowledge(batch)
        for _ in batch.bodies:
            self._stored_at.popleft()
        if finished is None:
            return
        try:
            # Shielded, because a removal that was cancelled before it began would leave the file behind.
            await asyncio.shield(self._loop.run_in_executor(self._disk, self._journal.remove, finished))
        except OSError as error:
            _log.error("outbox_segment_not_removed", path=str(finished.path), reason=str(error))
        if self._write_timer is not None and not self._closed:
            self._write()  # the deletion may have given the room that was short

    async def synced(self) -> None:
        """Return when the disk holds all that is written now."""
        if self._syncing is not None or self._sync_timer is not None:
            done = self._loop.create_future()
            self._unsynced.append(done)
            await done

    async def close(self) -> None:
        """Write what is left, bring it to the disk and let go of the folder.

        An event that the disk still refuses is written to the log in full: it is the last copy.
        """
        if self._closed:
            return
        self._closed = True
        if self._unwritten:
            self._write()
        for timer in (self._write_timer, self._sync_timer):
            if timer is not None:
                timer.cancel()
        self._give_up(self._unwritten)
        if self._syncing is not None:
            await asyncio.wait((self._syncing,))
        work = self._journal.unsynced()
        try:
            if work is not None:
                await self._loop.run_in_executor(self._disk, self._journal.sync, work)
        except OSError as error:
            # The kernel has them: they are lost only if the machine, too, ends before it has written them.
            _log.error("outbox_not_synced", reason=str(error))
            for done in self._unsynced:
                _fail(done, f"the outbox was closed while the disk did not confirm its events: {error}")
        for done in self._unsynced:
            _resolve(done)
        await asyncio.to_thread(self._disk.shutdown)
        self._journal.close()

    def _put(self, event: UsageEvent) -> asyncio.Future[None]:
        self._reserved -= 1
        put = _Put(Record(self._clock(), event.model_dump_json().encode()), self._loop.create_future())
        if self._closed:
            self._give_up([put])
            return put.done
        self._stored_at.append(put.record.stored_at)
        self._unwritten.append(put)
        if self._write_timer is None:
            self._write()
        return put.done

    def _release(self) -> None:
        self._reserved -= 1

    def _write(self) -> None:
        puts = self._unwritten
        failed_before, self._write_timer = self._write_timer, None
        if failed_before is not None:
            failed_before.cancel()
        try:
            self._journal.append([put.record for put in puts])
        except OSError as error:
            if failed_before is None:
                _log.error("outbox_takes_no_writes", reason=str(error))
            self._write_timer = self._loop.call_later(self._retry_seconds, self._write)
            return
        if failed_before is not None:
            _log.info("outbox_writes_again")
        self._unwritten = []
        self._arrived.set()
        if self._waits_for_disk:
            self._unsynced += [put.done for put in puts]
        else:
            for put in puts:
                _resolve(put.done)
        self._sync_soon(self._group_seconds)

    def _sync_soon(self, seconds: float) -> None:
        if self._sync_timer is None and self._syncing is None and not self._closed:
            self._sync_timer = self._loop.call_later(seconds, self._sync)

    def _sync(self) -> None:
        self._sync_timer = None
        waiting, self._unsynced = self._unsynced, []
        work = self._journal.unsynced()
        if work is None:  # all of it was delivered meanwhile
            self._synced(waiting, None)
            return
        self._syncing = self._loop.run_in_executor(self._disk, self._journal.sync, work)
        self._syncing.add_done_callback(lambda job: self._synced(waiting, job.exception()))

    def _synced(self, waiting: list[asyncio.Future[None]], error: BaseException | None) -> None:
        self._syncing = None
        if error is not None:
            if not self._sync_failed:
                _log.error("outbox_not_synced", reason=str(error))
            self._sync_failed = True
            self._unsynced = waiting + self._unsynced
            self._sync_soon(self._retry_seconds)
            return
        if self._sync_failed:
            _log.info("outbox_syncs_again")
            self._sync_failed = False
        for done in waiting:
            _resolve(done)
        if self._unsynced or self._journal.unsynced():
            self._sync_soon(self._group_seconds)

    def _give_up(self, puts: list[_Put]) -> None:
        for put in puts:
            _log.critical("usage_event_not_stored", event_json=put.record.body.decode())
            _fail(put.done, "the outbox was closed while the disk took no writes")


def _resolve(done: asyncio.Future[None]) -> None:
    if not done.done():  # its request may have been cancelled meanwhile
        done.set_result(None)


def _fail(done: asyncio.Future[None], reason: str) -> None:
    if not done.done():
        done.set_exception(EventNotStored(reason))
