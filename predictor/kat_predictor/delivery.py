"""Carries usage events from the outbox to metering, in order, one batch at a time, until they are acknowledged.

Sending a batch again is safe, because metering knows an event by its id: so a batch whose answer was lost is simply
sent again, and an event leaves the outbox only when metering has said that it is committed.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

import httpx
import structlog
from pydantic import BaseModel, ConfigDict, NonNegativeInt, SecretStr, ValidationError

from kat.usage_event import BATCH_CONTENT_TYPE, MAX_BATCH
from kat_predictor.errors import OutboxDamaged
from kat_predictor.metrics import Metrics
from kat_predictor.outbox import Outbox
from kat_predictor.outbox_journal import Batch

_log = structlog.get_logger(__name__)
_FIRST_PAUSE_SECONDS: Final = 0.25
_LONGEST_PAUSE_SECONDS: Final = 30.0
_LONGEST_RETRY_AFTER_SECONDS: Final = 300.0  # beyond that, asking again is cheaper than believing
_LONGEST_PAUSE_WHILE_DRAINING: Final = 1.0
_LINGER_SECONDS: Final = 0.1
_PENDING_SECONDS: Final = 0.05  # an event that the disk does not take yet


class _Rejection(BaseModel):
    model_config = ConfigDict(extra="ignore")

    index: NonNegativeInt
    id: str | None = None
    reason: str


class _Acknowledgement(BaseModel):
    """What metering answers when a batch is committed."""

    model_config = ConfigDict(extra="ignore")

    new: NonNegativeInt
    duplicate: NonNegativeInt
    rejected: NonNegativeInt
    rejections: list[_Rejection] = []

    @property
    def events(self) -> int:
        return self.new + self.duplicate + self.rejected


class Delivery:
    """The sender.

    Args:
        outbox: Where events come from.
        client: Its `base_url` is metering's.
        token: The service token that metering expects.
        metrics: Where rejected events are counted.
        linger_seconds: How long an event may wait for company, so that a quiet hour is not a request per event.
        first_pause_seconds: Pause after a first failure; it doubles with each further one, up to half a minute.
        jitter: Random numbers in [0, 1), so that many predictors do not return at the same moment.
    """

    def __init__(
        self,
        *,
        outbox: Outbox,
        client: httpx.AsyncClient,
        token: SecretStr,
        metrics: Metrics,
        linger_seconds: float = _LINGER_SECONDS,
        first_pause_seconds: float = _FIRST_PAUSE_SECONDS,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._outbox = outbox
        self._client = client
        self._headers = {
            "Authorization": f"Bearer {token.get_secret_value()}",
            "Content-Type": BATCH_CONTENT_TYPE,
        }
        self._metrics = metrics
        self._linger_seconds = linger_seconds
        self._first_pause_seconds = first_pause_seconds
        self._jitter = jitter
        self._batch_size = MAX_BATCH
        self._failures = 0
        self._draining = asyncio.Event()
        self._drained = asyncio.Event()

    async def run(self) -> None:
        """Deliver until told to drain, then until the outbox is empty."""
        try:
            while await self._something_to_send():
                pause = await self._send_oldest()
                if pause > 0:
                    await self._pause(pause)
        finally:
            self._drained.set()

    async def drain(self, deadline_seconds: float) -> int:
        """Send what is left, for so long at most. Returns the events that stay in the outbox for the next start."""
        self._draining.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._drained.wait(), deadline_seconds)
        left = self._outbox.events
        if left:
            _log.warning("outbox_not_drained", events=left)
        return left

    async def _something_to_send(self) -> bool:
        """True when there are events; False when there are none and none are to come."""
        waiting = asyncio.ensure_future(self._outbox.wait_for_events())
        draining = asyncio.ensure_future(self._draining.wait())
        try:
            await asyncio.wait({waiting, draining}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            draining.cancel()
        if self._draining.is_set():
            return self._outbox.events > 0
        if not self._failures:
            await self._pause(self._linger_seconds)
        return True

    async def _send_oldest(self) -> float:
        """Send one batch. Returns the seconds to wait before the next."""
        try:
            batch = await self._outbox.oldest(self._batch_size)
            if batch is None:
                return _PENDING_SECONDS
            response = await self._client.post(
                "/v1/events", content=b"[" + b",".join(batch.bodies) + b"]", headers=self._headers
            )
            if response.status_code == HTTPStatus.OK:
                return await self._acknowledged(batch, response)
        except (httpx.HTTPError, ValidationError, OSError, OutboxDamaged) as error:
            return self._failed("events_not_delivered", reason=str(error) or repr(error))
        return self._refused(batch, response)

    async def _acknowledged(self, batch: Batch, response: httpx.Response) -> float:
        answer = _Acknowledgement.model_validate_json(response.content)
        if answer.events != len(batch.bodies):
            return self._failed(
                "events_not_delivered", reason=f"{answer.events} of {len(batch.bodies)} events acknowledged"
            )
        # First, so that nothing after it can have the batch sent, and its rejections counted, once more.
        await self._outbox.acknowledge(batch)
        for rejection in answer.rejections:
            _log.error("event_rejected", event_id=rejection.id, reason=rejection.reason)
        self._metrics.events_rejected(answer.rejected)
        if self._failures:
            _log.info("events_delivered_again", after_failures=self._failures)
            self._failures = 0
        self._batch_size = min(MAX_BATCH, self._batch_size * 2)
        return 0.0

    def _refused(self, batch: Batch, response: httpx.Response) -> float:
        status = response.status_code
        if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and len(batch.bodies) > 1:
            self._batch_size = len(batch.bodies) // 2
            _log.warning("batch_too_large", events=len(batch.bodies), next=self._batch_size)
            return 0.0
        reason = f"metering answered {status}: {response.text[:500]}"
        if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
            # Somebody has to repair something, a token perhaps; the events wait for that.
            return self._failed("events_refused", reason=reason, retry_after=_retry_after(response), grave=True)
        return self._failed("events_not_delivered", reason=reason, retry_after=_retry_after(response))

    def _failed(self, event: str, *, reason: str, retry_after: float | None = None, grave: bool = False) -> float:
        exponent = min(self._failures, 16)  # far beyond the longest pause, short of an overflow
        self._failures += 1
        pause = min(_LONGEST_PAUSE_SECONDS, self._first_pause_seconds * 2.0**exponent)
        pause *= 0.5 + 0.5 * self._jitter()
        if retry_after is not None:
            pause = max(pause, retry_after)
        log = _log.error if grave else _log.warning
        log(event, reason=reason, failures=self._failures, events=self._outbox.events, next_try_in_seconds=pause)
        return pause

    async def _pause(self, seconds: float) -> None:
        """Sleep, but not on while the process waits to end."""
        if self._draining.is_set():
            await asyncio.sleep(min(seconds, _LONGEST_PAUSE_WHILE_DRAINING))
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._draining.wait(), seconds)


def _retry_after(response: httpx.Response) -> float | None:
    """RFC 9110, 10.2.3: seconds, or a date."""
    value = response.headers.get("Retry-After", "").strip()
    if not value:
        return None
    if value.isdigit():
        return min(float(value), _LONGEST_RETRY_AFTER_SECONDS)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - datetime.now(tz=UTC)).total_seconds()), _LONGEST_RETRY_AFTER_SECONDS)
