"""Usage events on disk until metering has acknowledged them.

    reservation = outbox.reserve()                     # at admission; refused when full
    try:
        ...                                            # the request runs
        await reservation.put(event)                   # returns when the event is on disk
    finally:
        reservation.release()                          # of no effect after `put`

An accepted request can always write its event, because its place was reserved: full means refused, never dropped.
While the disk takes no writes, new requests are refused and the events of running ones are kept in memory and tried
again; `put` returns once they are written.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import structlog

from kat.usage_event import UsageEvent
from kat_predictor.errors import EventNotStored, OutboxFull
from kat_predictor.outbox_file import OutboxFile

_T = TypeVar("_T")
_log = structlog.get_logger(__name__)
_RETRY_SECONDS: Final = 0.5
_FULL_RETRY_AFTER_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Batch:
    """The oldest events of the outbox: JSON objects, and the position of the last of them."""

    last: int
    bodies: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class _Put:
    stored_at: float
    body: bytes
    done: asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class _Read:
    limit: int
    done: asyncio.Future[Batch | None]


@dataclass(frozen=True, slots=True)
class _Acknowledge:
    last: int
    done: asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class _Stop:
    pass


_Command = _Put | _Read | _Acknowledge | _Stop


class Reservation:
    """A place for one event."""

    __slots__ = ("_outbox", "_used")

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._used = False

    def put(self, event: UsageEvent) -> asyncio.Future[None]:
        """Hand the event over; the future is done when it is on disk.

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

    One thread owns the file. All that waits while it commits shares the next commit, so that the cost of reaching
    the disk is divided among the requests that end together.
    """

    def __init__(
        self,
        file: OutboxFile,
        *,
        max_events: int,
        clock: Callable[[], float] = time.time,
        retry_seconds: float = _RETRY_SECONDS,
    ) -> None:
        self._file = file
        self._max_events = max_events
        self._clock = clock
        self._retry_seconds = retry_seconds
        self._loop = asyncio.get_running_loop()
        self._commands: queue.SimpleQueue[_Command] = queue.SimpleQueue()
        self._reserved = 0
        self._pending = 0
        self._on_disk = file.count
        self._oldest_stored_at = file.oldest_stored_at()
        self._failure: str | None = None
        self._arrived = asyncio.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._write_for_ever, name="outbox-writer", daemon=True)
        self._thread.start()

    @classmethod
    async def open(cls, path: Path, *, max_events: int) -> Outbox:
        """Open or make the outbox at `path`, with room for `max_events`.

        Raises:
            OutboxUnusable: The file is damaged, in use, not ours, or not writable.
        """
        return cls(await asyncio.to_thread(OutboxFile.open, path), max_events=max_events)

    @property
    def events(self) -> int:
        """Events that metering has not acknowledged, those on their way to the disk included."""
        return self._on_disk + self._pending

    def oldest_age_seconds(self) -> float:
        """How long the oldest event has been waiting; 0 when there is none."""
        if self._oldest_stored_at is None:
            return 0.0
        return max(0.0, self._clock() - self._oldest_stored_at)

    def reserve(self) -> Reservation:
        """A place for one event.

        Raises:
            OutboxFull: Every place is taken, or the disk takes no writes.
        """
        if self._failure is not None:
            raise OutboxFull(
                "Usage cannot be recorded at the moment, so no request is started; try again later.",
                retry_after=_FULL_RETRY_AFTER_SECONDS,
            )
        if self._on_disk + self._pending + self._reserved >= self._max_events:
            raise OutboxFull(
                "Too much usage waits to be delivered to metering, so no request is started; try again later.",
                retry_after=_FULL_RETRY_AFTER_SECONDS,
            )
        self._reserved += 1
        return Reservation(self)

    async def wait_for_events(self) -> None:
        """Return when there is something on disk to deliver."""
        while not self._on_disk:
            self._arrived.clear()
            await self._arrived.wait()

    async def oldest(self, limit: int) -> Batch | None:
        """At most `limit` of the oldest events; None when there are none.

        Raises:
            sqlite3.Error: The file cannot be read.
        """
        done: asyncio.Future[Batch | None] = self._loop.create_future()
        self._commands.put(_Read(limit, done))
        return await done

    async def acknowledge(self, batch: Batch) -> None:
        """Delete a batch that was delivered. It must be the oldest one.

        Raises:
            sqlite3.Error: It could not be deleted, and will be delivered again; metering takes no notice of that.
        """
        done: asyncio.Future[None] = self._loop.create_future()
        self._commands.put(_Acknowledge(batch.last, done))
        await done

    async def close(self) -> None:
        """Write what is left and let go of the file.

        An event that the disk still refuses is written to the log in full: it is the last copy.
        """
        if self._closed:
            return
        self._closed = True
        self._commands.put(_Stop())
        await asyncio.to_thread(self._thread.join)

    def _put(self, event: UsageEvent) -> asyncio.Future[None]:
        self._reserved -= 1
        self._pending += 1
        put = _Put(self._clock(), event.model_dump_json().encode(), self._loop.create_future())
        if self._closed:
            self._give_up([put])
        else:
            self._commands.put(put)
        return put.done

    def _release(self) -> None:
        self._reserved -= 1

    # What follows runs in the writer's thread, and talks to the loop by `call_soon_threadsafe` only.

    def _write_for_ever(self) -> None:
        unsaved: list[_Put] = []
        stopping = False
        while not stopping:
            commands = self._take(self._retry_seconds if unsaved else None)
            acknowledged = [command for command in commands if isinstance(command, _Acknowledge)]
            stopping = any(isinstance(command, _Stop) for command in commands)
            if unsaved and acknowledged:
                # A commit has failed before: by itself, deleting may give the room that the new events are short of.
                self._commit([], acknowledged)
                acknowledged = []
            unsaved += [command for command in commands if isinstance(command, _Put)]
            if (unsaved or acknowledged) and self._commit(unsaved, acknowledged):
                unsaved = []
            for command in commands:
                if isinstance(command, _Read):
                    self._read(command)
        self._give_up(unsaved)
        self._file.close()

    def _take(self, timeout: float | None) -> list[_Command]:
        """Wait for a command, then take all that came meanwhile; none when the time is up."""
        commands: list[_Command] = []
        try:
            commands.append(self._commands.get(timeout=timeout))
            while True:
                commands.append(self._commands.get_nowait())
        except queue.Empty:
            return commands

    def _commit(self, puts: list[_Put], acknowledged: list[_Acknowledge]) -> bool:
        try:
            self._file.write(
                [(put.stored_at, put.body) for put in puts],
                delete_up_to=max((command.last for command in acknowledged), default=None),
            )
            oldest = self._file.oldest_stored_at()
        except Exception as error:  # noqa: BLE001 - whatever it is, a dead writer would hang every request
            waiting_since = puts[0].stored_at if puts else None
            self._loop.call_soon_threadsafe(self._refused, error, waiting_since, acknowledged)
            return False
        self._loop.call_soon_threadsafe(self._committed, puts, acknowledged, self._file.count, oldest)
        return True

    def _read(self, command: _Read) -> None:
        try:
            rows = self._file.oldest(command.limit)
        except sqlite3.Error as error:
            self._loop.call_soon_threadsafe(_fail, command.done, error)
            return
        batch = Batch(rows[-1][0], tuple(body for _, body in rows)) if rows else None
        self._loop.call_soon_threadsafe(_resolve, command.done, batch)

    def _give_up(self, unsaved: list[_Put]) -> None:
        for put in unsaved:
            _log.critical("usage_event_not_stored", event_json=put.body.decode())
            error = EventNotStored("the outbox was closed while the disk took no writes")
            self._loop.call_soon_threadsafe(_fail, put.done, error)

    # And these run in the loop again.

    def _committed(self, puts: list[_Put], acknowledged: list[_Acknowledge], count: int, oldest: float | None) -> None:
        self._pending -= len(puts)
        self._on_disk = count
        self._oldest_stored_at = oldest
        if puts:
            self._arrived.set()
            if self._failure is not None:
                _log.info("outbox_writes_again")
                self._failure = None
        for done in (*(put.done for put in puts), *(command.done for command in acknowledged)):
            _resolve(done, None)

    def _refused(self, error: Exception, waiting_since: float | None, acknowledged: list[_Acknowledge]) -> None:
        if waiting_since is not None:
            if self._failure is None:
                _log.error("outbox_takes_no_writes", reason=str(error))
            self._failure = str(error)
            if self._oldest_stored_at is None:
                self._oldest_stored_at = waiting_since
        for command in acknowledged:
            _fail(command.done, error)


def _resolve(future: asyncio.Future[_T], result: _T) -> None:
    if not future.done():  # its request may have been cancelled meanwhile
        future.set_result(result)


def _fail(future: asyncio.Future[_T], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
