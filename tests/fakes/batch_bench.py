"""A batch of sequences on a model that a test steps by hand."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import Any, cast

import torch

from kat_predictor.engines.base import EngineError, Sampling, TokenChunk
from kat_predictor.engines.batch import Batch
from kat_predictor.engines.detokenize import Vocabulary
from kat_predictor.engines.forward import Forward
from kat_predictor.engines.row import Call, Row

Prompts = Callable[[int], list[int]]
Reference = Callable[[list[int], int], list[int]]
NO_LOOP = cast("asyncio.AbstractEventLoop", None)  # a batch never looks at it


class Bench:
    """A batch, and what it has produced for each call."""

    def __init__(self, forward: Forward, vocabulary: Vocabulary, stop_ids: frozenset[int], **sizes: Any) -> None:
        defaults = {"max_rows": 8, "max_cells": 8 * 256, "prefill_tokens": 64, "prefix_cache_tokens": 0}
        self.batch = Batch(forward, **{**defaults, **sizes})
        self.vocabulary = vocabulary
        self.stop_ids = stop_ids
        self.chunks: dict[Call, list[TokenChunk]] = defaultdict(list)
        self.errors: dict[Call, EngineError] = {}
        self.device = torch.device("cpu")

    def submit(self, prompt: list[int], max_tokens: int = 8, **settings: Any) -> Call:
        sampling = Sampling(max_tokens=max_tokens, **{"temperature": 0, **settings})
        call = Call(tuple(prompt), sampling, NO_LOOP, asyncio.Queue())
        self.batch.add(Row(call, self.vocabulary, self.stop_ids, self.device))
        return call

    @torch.inference_mode()
    def step(self, count: int = 1) -> None:
        for _ in range(count):
            for call, result in self.batch.step():
                if isinstance(result, EngineError):
                    self.errors[call] = result
                else:
                    self.chunks[call].append(result)

    def finish(self) -> None:
        while self.batch.busy:
            self.step()

    def tokens(self, call: Call) -> list[int]:
        return [token for chunk in self.chunks[call] for token in chunk.token_ids]

    def seconds(self) -> float:
        return sum(chunk.engine_seconds for chunks in self.chunks.values() for chunk in chunks)
