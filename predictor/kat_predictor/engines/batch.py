"""Continuous batching: rows join and leave between forward passes. Synchronous; one thread owns a batch."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Sequence

import structlog
import torch

from kat_predictor.engines.base import EngineError, TokenChunk
from kat_predictor.engines.forward import Forward
from kat_predictor.engines.kv_cache import SlotCache
from kat_predictor.engines.prefix_cache import BLOCK_TOKENS, PrefixCache
from kat_predictor.engines.row import Call, Row, share
from kat_predictor.engines.sampling import draw_tokens, raw_logprobs

log = structlog.get_logger(__name__)

_HEADROOM = 64
"""Columns that must be left for each row when one joins, or it would be put off again at once."""

Result = tuple[Call, TokenChunk | EngineError]


class Batch:
    """Rows `[0, running)` of the cache are being decoded; at most one row behind them is in the middle of its prompt.

    Args:
        forward: the model.
        max_rows: sequences in the batch at most; more wait, first come, first served.
        max_cells: rows times the longest row at most.
        prefill_tokens: prompt tokens in one forward pass at most, so that a long prompt never stalls running streams.
        prefix_cache_tokens: tokens whose keys and values are kept for later prompts.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        forward: Forward,
        *,
        max_rows: int,
        max_cells: int,
        prefill_tokens: int,
        prefix_cache_tokens: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._forward = forward
        self._max_rows = max_rows
        self._max_cells = max_cells
        self._prefill_tokens = prefill_tokens
        self._clock = clock
        self._cache = SlotCache(forward.layers, max_rows=max_rows, max_cells=max_cells)
        self._prefixes = PrefixCache(self._cache, capacity_tokens=prefix_cache_tokens)
        self._arrivals = itertools.count()
        self._waiting: deque[Row] = deque()
        self._rows: list[Row] = []
        self._running = 0
        self._decoded_last = True
        self.busy_seconds = 0.0
        """Time spent in steps that worked for some row."""

    @property
    def busy(self) -> bool:
        return bool(self._rows or self._waiting)

    @property
    def usage(self) -> float:
        """Share of the cache in use, 0 to 1: what admission goes by, so at 1 the next row must wait."""
        return min(1.0, len(self._rows) * self._width() / self._max_cells)

    def add(self, row: Row) -> None:
        row.arrival = next(self._arrivals)
        self._waiting.append(row)

    def step(self) -> list[Result]:
        """One forward pass, of prompts or of all running rows, in turns. Returns what it produced."""
        started = self._clock()
        self._drop_cancelled()
        self._fit()
        group = self._next_prompts() if self._decoded_last or not self._running else []
        active = group or self._rows[: self._running]
        if not active:
            return []
        self._decoded_last = not group
        try:
            produced = self._prefill(group) if group else self._decode(active)
        except RuntimeError as error:
            if not _out_of_memory(error):
                raise
            return self._make_room(active, error)
        for row in produced:
            if row.finish_reason is not None:
                self._remove(self._rows.index(row))
        elapsed = self._clock() - started
        self.busy_seconds += elapsed
        share(active, elapsed)
        return [(row.call, row.take_chunk()) for row in produced]

    def _drop_cancelled(self) -> None:
        self._waiting = deque(row for row in self._waiting if not row.call.cancelled)
        for slot in range(len(self._rows) - 1, -1, -1):
            if self._rows[slot].call.cancelled:
                self._remove(slot)

    def _width(self) -> int:
        """Columns that the longest row needs, its next token included."""
        return max((len(row.tokens) + 1 for row in self._rows), default=0)

    # --- prompts

    def _next_prompts(self) -> list[Row]:
        """The prompts to work on: those begun, or those that wait and fit in one pass together."""
        if len(self._rows) > self._running:
            return self._rows[self._running :]
        group: list[Row] = []
        queries = 0
        while self._waiting and len(self._rows) < self._max_rows:
            row = self._waiting[0]
            found = self._prefixes.find(row.tokens)
            row.computed = len(found) * BLOCK_TOKENS
            queries = max(queries, row.remaining)
            if group and queries * (len(group) + 1) > self._prefill_tokens:
                break
            width = max(self._width(), len(row.tokens) + 1)
            if self._rows and (width + _HEADROOM) * (len(self._rows) + 1) > self._max_cells:
                break
            row.found = found
            if row.cached is None:
                row.cached = row.computed
            self._rows.append(self._waiting.popleft())
            group.append(row)
        return group

    def _prefill(self, group: Sequence[Row]) -> list[Row]:
        counts = [min(row.remaining, self._prefill_tokens) for row in group]
        self._reserve(max(self._width(), max(row.computed for row in group) + max(counts)))
        for slot, row in enumerate(group, self._running):
            if row.found:
                self._prefixes.load(row.found, slot)
                row.found = []
        news = [row.tokens[row.computed : row.computed + count] for row, count in zip(group, counts, strict=True)]
        logits = self._forward(self._cache, self._running, [row.computed for row in group], news)
        for row, new in zip(group, news, strict=True):
            row.computed += len(new)
        if group[0].remaining:
            return []
        for slot, row in enumerate(group, self._running):
            # At once, not when the row ends: others may share the prompt and come meanwhile.
            self._prefixes.store(row.tokens, slot)
        self._running += len(group)
        self._draw(group, logits)
        return list(group)

    # --- running rows

    def _decode(self, rows: Sequence[Row]) -> list[Row]:
        self._reserve(self._width())
        logits = self._forward(self._cache, 0, [row.computed for row in rows], [row.tokens[-1:] for row in rows])
        for row in rows:
            row.computed += 1
        self._draw(rows, logits)
        return list(rows)

    def _draw(self, rows: Sequence[Row], logits: torch.Tensor) -> None:
        tokens = draw_tokens(logits, [row.draw for row in rows])
        logprobs = raw_logprobs(logits, tokens, [row.call.sampling.top_logprobs for row in rows])
        for number, (row, token) in enumerate(zip(rows, tokens, strict=True)):
            row.append(token, logprobs.get(number))

    # --- room

    def _reserve(self, width: int) -> None:
        kept = max(row.computed for row in self._rows)
        self._cache.ensure(len(self._rows), width, kept_rows=len(self._rows), kept_width=kept)

    def _fit(self) -> None:
        """Put rows off until the next token of every other row fits."""
        while len(self._rows) > 1 and self._width() * len(self._rows) > self._max_cells:
            self._preempt()

    def _preempt(self, *, keep: bool = True) -> None:
        """Send the last row that came back to the head of the queue; its tokens are computed again later."""
        slot = max(range(len(self._rows)), key=lambda slot: self._rows[slot].arrival)
        row = self._rows[slot]
        log.info("put a sequence off: the key-value cache is full", tokens=len(row.tokens))
        self._remove(slot, keep=keep)
        self._waiting.appendleft(row)

    def _remove(self, slot: int, *, keep: bool = True) -> None:
        row = self._rows[slot]
        if keep and not row.found:
            self._prefixes.store(row.tokens[: row.computed], slot)
        # Running rows stay in front: the last of them fills the gap, and the row behind them fills theirs.
        gaps = [len(self._rows) - 1]
        if slot < self._running:
            self._running -= 1
            gaps.insert(0, self._running)
        for source in gaps:
            if source != slot:
                self._cache.move_row(source, slot, self._rows[source].computed)
                self._rows[slot] = self._rows[source]
            slot = source
        del self._rows[slot]
        if not self._rows:
            self._cache.shrink()

    def _make_room(self, active: Sequence[Row], error: Exception) -> list[Result]:
        """After a pass that did not fit in memory: put one running row off and go on, or give its prompts up."""
        log.warning("out of memory in a forward pass", rows=len(active), error=str(error))
        self._prefixes.clear()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if active[0] in self._rows[: self._running] and len(self._rows) > 1:
            self._preempt(keep=False)
            return []
        for row in active:
            self._remove(self._rows.index(row), keep=False)
        failure = EngineError("the engine ran out of memory for this request")
        return [(row.call, failure) for row in active]


def _out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
