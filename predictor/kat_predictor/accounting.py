"""The books of one request: its usage, its metrics and its usage event, all from the same numbers.

accounting = Accounting(caller=caller, model=name, source=instance, labels=labels, metrics=metrics)
accounting.start()                                  # admitted: it runs from here on
accounting.prompt(tokens=210, cached=128)
async for chunk in engine.generate(...):
    accounting.chunk(len(chunk.token_ids), chunk.engine_seconds)
    for delta in parser.feed(...):
        accounting.add(delta.segment, delta.tokens)
event = accounting.close(Status.OK, "stop")         # exactly once, in a `finally`
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated
from uuid import UUID

import structlog
from pydantic import Field, TypeAdapter

from kat.usage_event import (
    MAX_LABELS,
    LabelKey,
    LabelValue,
    Mode,
    ModeSource,
    Segment,
    Status,
    Tokens,
    Usage,
    UsageEvent,
    new_event_id,
    time_of,
)
from kat_predictor.metrics import Metrics
from kat_predictor.request_trace import CompletionTrace
from kat_predictor.tenants import Caller

_log = structlog.get_logger(__name__)
_NO_LABELS: Mapping[str, str] = MappingProxyType({})
_LABELS: TypeAdapter[dict[str, str]] = TypeAdapter(Annotated[dict[LabelKey, LabelValue], Field(max_length=MAX_LABELS)])
_COMPLETION = (Segment.JUDGE, Segment.THINK, Segment.ANSWER, Segment.CONTROL)


class Accounting:
    """One request's books. Opening them mints the event's id and starts the clock.

    Args:
        caller: Who pays.
        model: The served name.
        source: This predictor, as events name it.
        metrics: Where the request is observed.
        labels: As `kat.usage_event.Usage` allows them.
        trace: What becomes the request's span, where traces are on.
        monotonic: A clock in seconds that never goes back.
        new_id: Mints the event's id, a UUIDv7.

    Raises:
        pydantic.ValidationError: The labels are too many or too long.
    """

    def __init__(
        self,
        *,
        caller: Caller,
        model: str,
        source: str,
        metrics: Metrics,
        labels: Mapping[str, str] = _NO_LABELS,
        trace: CompletionTrace | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        new_id: Callable[[], UUID] = new_event_id,
    ) -> None:
        self.id = new_id()
        self.mode = Mode.UNDECIDED
        self.mode_source = ModeSource.MODEL
        self._caller = caller
        self._model = model
        self._source = source
        # Bad labels must fail here: at the end of the request they would cost its event.
        self._labels = _LABELS.validate_python(dict(labels)) if labels else {}
        self._metrics = metrics
        self._series = metrics.series(model, Mode.UNDECIDED)
        self._monotonic = monotonic
        self._opened = monotonic()
        self._started = False
        self._closed = False
        self._counts = dict.fromkeys(Segment, 0)
        self._engine_tokens = 0
        self._engine_seconds = 0.0
        self._last_chunk: float | None = None
        self._ttft: float | None = None
        self._ttfa: float | None = None
        self._ttft_observed = False
        self._trace = trace
        if trace is not None:
            trace.open(self.id, self._opened)

    @property
    def closed(self) -> bool:
        """`close` was called."""
        return self._closed

    @property
    def tokens(self) -> Tokens:
        """What the request has used so far, by segment."""
        return Tokens.model_validate(self._counts)

    def start(self) -> None:
        """The request was admitted: it is in flight until it is closed."""
        if self._started:
            raise RuntimeError("the books of a request are started once")
        self._started = True
        self._series.in_flight.inc()
        if self._trace is not None:
            self._trace.admitted = self._monotonic()

    def prompt(self, *, tokens: int, cached: int = 0) -> None:
        """The prompt, counted once a request however many engine calls its phases take.

        Called again when more is known; the last call stands.

        Args:
            tokens: All tokens of the prompt, the cached ones included.
            cached: Those that the engine found in its prefix cache.
        """
        cached = min(cached, tokens)
        self._counts[Segment.PROMPT] = tokens - cached
        self._counts[Segment.PROMPT_CACHED] = cached

    def mode_source_is(self, source: ModeSource) -> None:
        """Whose turn it is to choose the mode; stands in the event if nothing gets decided."""
        self.mode_source = source

    def mode_is(self, mode: Mode, source: ModeSource) -> None:
        """The mode got known, and who chose it."""
        self.mode_source = source
        if mode is self.mode:
            return
        series = self._metrics.series(self._model, mode)
        if self._started:
            self._series.in_flight.dec()
            series.in_flight.inc()
        if series.decided is not None:
            series.decided.inc()
        self.mode, self._series = mode, series
        if self._trace is not None:
            self._trace.mode_known = self._monotonic()
        self._observe_ttft()

    def chunk(self, tokens: int, engine_seconds: float) -> None:
        """The engine delivered tokens: its count of them, and the engine time they took."""
        self._engine_seconds += engine_seconds
        if not tokens:
            return
        self._engine_tokens += tokens
        now = self._monotonic()
        if self._last_chunk is None:
            self._ttft = now - self._opened
            self._observe_ttft()
        else:
            self._series.inter_token_latency.observe((now - self._last_chunk) / tokens)
        self._last_chunk = now

    def add(self, segment: Segment, tokens: int) -> None:
        """Tokens found their segment. Those of a chunk may come later than the chunk, never earlier."""
        self._counts[segment] += tokens
        if segment is Segment.ANSWER and tokens and self._ttfa is None:
            self._ttfa = self._monotonic() - self._opened
            self._series.time_to_first_answer_token.observe(self._ttfa)

    def close(self, status: Status, finish_reason: str | None = None) -> UsageEvent | None:
        """Close the books, exactly once: observe the metrics and make the event.

        None for `rejected`: a request that never ran used nothing and is no usage event.
        """
        if self._closed:
            raise RuntimeError("the books of a request are closed once")
        self._closed = True
        if self._trace is not None:
            self._trace.status = status
        if self._started:
            self._series.in_flight.dec()
        if status is Status.REJECTED:
            self._metrics.request_rejected(self._model)
            return None
        self._settle_unclassified()
        self._observe_ttft(undecided=True)
        tokens = self.tokens
        duration = self._monotonic() - self._opened
        usage = Usage(
            tenant=self._caller.tenant.id,
            api_key_id=self._caller.key.id,
            project=self._caller.key.project,
            model=self._model,
            mode=self.mode,
            mode_source=self.mode_source,
            tokens=tokens,
            status=status,
            finish_reason=finish_reason,
            ttft_ms=_milliseconds(self._ttft),
            ttfa_ms=_milliseconds(self._ttfa),
            duration_ms=duration * 1000,
            engine_seconds=self._engine_seconds,
            labels=self._labels,
        )
        event = UsageEvent(id=self.id, source=self._source, subject=usage.tenant, time=time_of(self.id), data=usage)
        self._metrics.request_ended(
            self._model,
            self.mode,
            source=self.mode_source,
            status=status,
            tokens=tokens,
            duration_seconds=duration,
        )
        if self._trace is not None:
            self._trace.event = event
        return event

    def _settle_unclassified(self) -> None:
        """Hold to judge + think + answer + control = completion tokens as the engine counted them."""
        missing = self._engine_tokens - sum(self._counts[segment] for segment in _COMPLETION)
        if missing > 0:
            # A request that was cut off may leave tokens that were held back as the beginning of a tag.
            self._counts[Segment.CONTROL] += missing
        elif missing < 0:
            _log.error("tokens_not_conserved", event_id=str(self.id), surplus=-missing)

    def _observe_ttft(self, *, undecided: bool = False) -> None:
        """Observe once, as soon as the first token is there and its mode is known: a signal must be fresh."""
        if self._ttft is None or self._ttft_observed or (self.mode is Mode.UNDECIDED and not undecided):
            return
        self._ttft_observed = True
        self._series.time_to_first_token.observe(self._ttft)


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
