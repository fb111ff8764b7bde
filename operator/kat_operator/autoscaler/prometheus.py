"""Reads the signals of every replica there is from Prometheus, in one query for all services together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from math import isfinite
from typing import Any, Final

import aiohttp
import orjson

from kat_operator.autoscaler.series import SOURCES, Samples, Series, Signal, Source
from kat_operator.errors import PrometheusFailed
from kat_operator.kinds import Key

_OWN_LABELS: Final = frozenset({"model", "mode", "mode_source", "status", "segment", "le"})
"""What the predictor's metrics are labelled with; all else was added on the way."""
_HEARTBEAT: Final = SOURCES[Signal.QUEUED].metric
"""A series that every predictor has from its start."""
_QUOTED_CHARACTERS: Final = 300


class Prometheus:
    """One Prometheus, or what speaks its HTTP API. Its methods belong to one event loop.

    All services share one answer for `max_age_seconds`, so that their number costs no queries.

    Args:
        session: Sends requests; credentials that Prometheus wants are headers of it.
        url: Where the HTTP API is, without `/api/v1`.
        max_age_seconds: How long an answer, or a failure, is used.
        timeout_seconds: For one query.
        monotonic: A clock in seconds that never goes back.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        *,
        max_age_seconds: float = 2.0,
        timeout_seconds: float = 4.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session = session
        self._url = f"{url.rstrip('/')}/api/v1/query"
        self._max_age_seconds = max_age_seconds
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._at: float | None = None
        self._answer: Mapping[Key, Samples] | PrometheusFailed = {}

    async def samples(self) -> Mapping[Key, Samples]:
        """What each replica says, by its pod's namespace and name.

        Raises:
            PrometheusFailed: It did not answer, or not as it should.
        """
        async with self._lock:
            if self._at is None or self._monotonic() - self._at >= self._max_age_seconds:
                try:
                    self._answer = samples_of(await self._query())
                except PrometheusFailed as error:
                    self._answer = error
                # When it came, not when it was asked for: a slow Prometheus must not be asked without a pause.
                self._at = self._monotonic()
        if isinstance(self._answer, PrometheusFailed):
            raise PrometheusFailed(str(self._answer))
        return self._answer

    async def _query(self) -> object:
        try:
            async with self._session.post(self._url, data={"query": QUERY}, timeout=self._timeout) as response:
                body = await response.read()
                status = response.status
        except TimeoutError as error:
            raise PrometheusFailed(f"{self._url} did not answer within {self._timeout.total:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise PrometheusFailed(f"{self._url} cannot be reached: {error}") from error
        if status != HTTPStatus.OK:
            raise PrometheusFailed(f"{self._url} answered {status}: {_quoted(body)}")
        try:
            return orjson.loads(body)
        except ValueError as error:
            raise PrometheusFailed(f"{self._url} answered no JSON: {_quoted(body)}") from error


def samples_of(answer: Any) -> dict[Key, dict[Series, float]]:
    """What each replica says, by its pod's namespace and name, from the answer to `QUERY`.

    Raises:
        PrometheusFailed: It is no such answer.
    """
    samples: dict[Key, dict[Series, float]] = {}
    try:
        if answer["data"]["resultType"] != "vector":
            raise PrometheusFailed(f"Prometheus answered a {answer['data']['resultType']}, not a vector")
        for item in answer["data"]["result"]:
            labels = item["metric"]
            value = float(item["value"][1])
            pod = labels.get("pod")
            if not pod or not isfinite(value):
                continue
            series = Series(Signal(labels["signal"]), labels.get("mode", ""), float(labels.get("le", "inf")))
            samples.setdefault(Key(labels.get("namespace", ""), pod), {})[series] = value
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise PrometheusFailed(f"Prometheus answered in a form of its own: {error!r}") from error
    return samples


def _expression(signal: Signal, source: Source) -> str:
    selector = ", ".join(f'{label}=~"{"|".join(sorted(values))}"' for label, values in source.where.items())
    selected = f"{source.metric}{{{selector}}}" if selector else source.metric
    if source.window is not None:
        selected = f"rate({selected}[{source.window.value}s])"
    summed_over = ", ".join(sorted(_OWN_LABELS - set(source.by)))
    kept = ", ".join(("namespace", "pod", *source.by))
    # A router that re-exports a replica's metrics, or a second Prometheus, gives the same series twice, told apart by
    # labels of the way they came. They say the same, so the largest is taken, never the sum.
    merged = f"max by ({kept}) (sum without ({summed_over}) ({selected}))"
    if "le" in source.by:
        # All buckets or none: quantiles need the empty ones, but an idle replica's would be most of the answer.
        busy = selected.replace(source.metric, f'{source.metric}{{le="+Inf"}}')
        merged = f"{merged} and on (namespace, pod, mode) ({busy} > 0)"
    elif source.metric != _HEARTBEAT:
        merged = f"{merged} > 0"
    return _named(signal, merged)


def _named(signal: Signal, expression: str) -> str:
    return f'label_replace({expression}, "signal", "{signal}", "", "")'


def _quoted(body: bytes) -> str:
    return body[:_QUOTED_CHARACTERS].decode(errors="replace")


QUERY: Final = "\nor\n".join(
    [
        # Prometheus itself says how old its samples are: then no clock has to agree with another.
        _named(Signal.AGE, f"min by (namespace, pod) (time() - timestamp({_HEARTBEAT}))"),
        *(_expression(signal, source) for signal, source in SOURCES.items()),
    ]
)
"""One instant query: every signal of every replica, told apart by the label `signal`."""
