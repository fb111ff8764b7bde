"""One sequence that is being generated."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from kat_predictor.engines.base import EngineError, Sampling, TokenChunk, TokenLogprob
from kat_predictor.engines.detokenize import Detokenizer, Vocabulary
from kat_predictor.engines.sampling import Draw, RawLogprobs

FinishReason = Literal["stop", "length"]


@dataclass(eq=False, slots=True)
class Call:
    """What one `generate` asked, and the way back to it."""

    prompt_ids: tuple[int, ...]
    sampling: Sampling
    loop: asyncio.AbstractEventLoop
    results: asyncio.Queue[TokenChunk | EngineError]
    """Filled in the loop's own thread."""
    cancelled: bool = False
    """Set by the caller, from its thread; the batch drops the row before its next step."""


class Row:
    """The batch's side of a call.

    Attributes:
        tokens: prompt and generated tokens.
        arrival: number of the call in the order of arrival.
        computed: how many of them, from the first, have keys and values in the batch's cache.
        found: places of its first tokens in the prefix cache, until they are loaded.
        cached: prompt tokens found in the prefix cache when the row was first admitted; None before.
        seconds: engine time since the last chunk.
    """

    def __init__(self, call: Call, vocabulary: Vocabulary, stop_ids: frozenset[int], device: torch.device) -> None:
        self.call = call
        self.tokens = list(call.prompt_ids)
        self.arrival = 0
        self.computed = 0
        self.found: list[int] = []
        self.cached: int | None = None
        self.seconds = 0.0
        self.draw = Draw(call.sampling, device)
        self.finish_reason: FinishReason | None = None
        self._vocabulary = vocabulary
        self._stop_ids = stop_ids
        self._text = Detokenizer(vocabulary)
        self._fresh: list[int] = []
        self._fresh_text = ""
        self._fresh_logprobs: list[TokenLogprob] = []
        self._told = False

    @property
    def remaining(self) -> int:
        """Tokens yet to be computed before the next can be drawn."""
        return len(self.tokens) - self.computed

    @property
    def generated(self) -> int:
        return len(self.tokens) - len(self.call.prompt_ids)

    def append(self, token: int, logprobs: RawLogprobs | None) -> None:
        """Take a drawn token, and see whether it is the last."""
        self.tokens.append(token)
        self._fresh.append(token)
        self._fresh_text += self._text.feed(token)
        if logprobs is not None:
            name = self._vocabulary.token_text
            top = tuple((name(i), value) for i, value in zip(logprobs.top_ids, logprobs.top_values, strict=True))
            self._fresh_logprobs.append(TokenLogprob(name(token), logprobs.chosen, top))
        if token in self._stop_ids:
            self.finish_reason = "stop"
        elif self.generated >= self.call.sampling.max_tokens:
            self.finish_reason = "length"
        if self.finish_reason is not None:
            self._fresh_text += self._text.finish()

    def take_chunk(self) -> TokenChunk:
        """What came since the last chunk."""
        chunk = TokenChunk(
            token_ids=tuple(self._fresh),
            text=self._fresh_text,
            finish_reason=self.finish_reason,
            logprobs=tuple(self._fresh_logprobs),
            cached_prompt_tokens=0 if self._told else self.cached or 0,
            engine_seconds=self.seconds,
        )
        self._fresh, self._fresh_text, self._fresh_logprobs = [], "", []
        self._told, self.seconds = True, 0.0
        return chunk


def share(rows: Sequence[Row], seconds: float) -> None:
    """Divide the time of a step among the rows that it worked for."""
    for row in rows:
        row.seconds += seconds / len(rows)
