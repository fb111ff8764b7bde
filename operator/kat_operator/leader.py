"""Which of several operators acts: the one that holds a Lease.

The client's own election is not used. It ends with an exception when the API server cannot be reached, writes local
times as if they were UTC, and does not stop a leader whose renewal hangs.

The holder may write until `renew_seconds` after it *sent* its last good renewal. Others take the lease only when they
have seen no renewal for `duration_seconds`. A write takes at most the time between the two (`WRITE_SECONDS`), so the
last write of an old holder ends before a new one begins, with no clock compared to another machine's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from kat_operator.connection import WRITE_SECONDS, Connection, Json
from kat_operator.errors import ApiServerError, Conflict, NotFound, Unreachable
from kat_operator.kinds import LEASE, Key

log = structlog.get_logger(__name__)

_MICROTIME: Final = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """Seconds. The defaults are those of Kubernetes' own controllers."""

    duration_seconds: int = 15
    """Without a renewal for so long, another operator takes over."""
    renew_seconds: float = 10.0
    """Without a renewal for so long, the holder stops writing."""
    retry_seconds: float = 2.0
    """Time between two tries, to renew or to take."""

    def __post_init__(self) -> None:
        if self.renew_seconds + WRITE_SECONDS > self.duration_seconds:
            raise ValueError(f"duration_seconds must exceed renew_seconds by {WRITE_SECONDS}, what a write may take")


class Leadership:
    """This operator's claim on the lease. `run` keeps it up; `leading` says whether it may write at this moment."""

    def __init__(
        self,
        connection: Connection,
        lease: Key,
        identity: str,
        times: LeaseTimes = LeaseTimes(),
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._lease = lease
        self._identity = identity
        self._times = times
        self._clock = clock
        self._until = float("-inf")
        self._held: Json | None = None
        self._seen: Mapping[str, Any] | None = None
        self._seen_at = 0.0
        self._taken = asyncio.Event()

    @property
    def leading(self) -> bool:
        return self._clock() < self._until

    @property
    def holder(self) -> str | None:
        """Who holds the lease, as last seen."""
        return self._seen.get("holderIdentity") or None if self._seen is not None else None

    async def wait(self) -> None:
        """Return when this operator leads."""
        while not self.leading:
            self._taken.clear()
            await self._taken.wait()

    async def run(self) -> None:
        """Take the lease when it is free, and renew it, until cancelled."""
        led = False
        while True:
            try:
                await self.try_once()
            except (ApiServerError, Unreachable) as error:
                log.warning("lease could not be renewed or read", lease=str(self._lease), why=str(error))
            if self.leading != led:
                led = self.leading
                log.info("leads" if led else "leads no longer", lease=str(self._lease), holder=self.holder)
            await asyncio.sleep(self._times.retry_seconds)

    async def try_once(self) -> None:
        """Renew, or take what is free. Raises ApiServerError or Unreachable where it cannot tell."""
        sent = self._clock()
        if self._held is not None:
            try:
                await self._write(self._held, sent)
            except (Conflict, NotFound):
                self._held = None
            else:
                return
        try:
            lease = await self._connection.get(LEASE.path(*self._lease))
        except NotFound:
            await self._create(sent)
            return
        spec = lease.get("spec") or {}
        if spec != self._seen:
            self._seen, self._seen_at = spec, sent
        if self._is_free(spec, sent):
            try:
                await self._write(lease, sent)
            except Conflict:
                log.info("another operator was faster", lease=str(self._lease))
        elif spec.get("holderIdentity") != self._identity:
            self._until = float("-inf")

    async def release(self) -> None:
        """Give the lease back, so that another operator need not wait for its end."""
        held, self._held, self._until = self._held, None, float("-inf")
        if held is None:
            return
        spec = {**held["spec"], "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
        try:
            await self._connection.replace(LEASE.path(*self._lease), {**held, "spec": spec})
        except (ApiServerError, Unreachable) as error:
            log.warning("lease could not be given back; it runs out", lease=str(self._lease), why=str(error))

    def _is_free(self, spec: Mapping[str, Any], now: float) -> bool:
        holder = spec.get("holderIdentity")
        if not holder or holder == self._identity:
            return True
        return now - self._seen_at > float(spec.get("leaseDurationSeconds") or self._times.duration_seconds)

    async def _create(self, sent: float) -> None:
        namespace, name = self._lease
        body = {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": {"name": name, "namespace": namespace},
            "spec": self._spec({}),
        }
        try:
            self._take(await self._connection.create(LEASE.path(namespace), body), sent)
        except Conflict:
            log.info("another operator was faster", lease=str(self._lease))

    async def _write(self, lease: Json, sent: float) -> None:
        body = {**lease, "spec": self._spec(lease.get("spec") or {})}
        self._take(await self._connection.replace(LEASE.path(*self._lease), body), sent)

    def _spec(self, old: Mapping[str, Any]) -> Json:
        now = _now()
        mine = old.get("holderIdentity") == self._identity
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self._times.duration_seconds,
            "acquireTime": old.get("acquireTime", now) if mine else now,
            "renewTime": now,
            "leaseTransitions": int(old.get("leaseTransitions") or 0) + (0 if mine else 1),
        }

    def _take(self, lease: Json, sent: float) -> None:
        self._held = lease
        self._seen, self._seen_at = lease["spec"], sent
        self._until = sent + self._times.renew_seconds
        self._taken.set()


def _now() -> str:
    return datetime.now(UTC).strftime(_MICROTIME)
