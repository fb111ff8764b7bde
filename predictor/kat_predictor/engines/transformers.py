"""The engine on transformers and torch: CPUs and single machines, continuous batching, a prefix cache."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING

import structlog
import torch

from kat_predictor.engines.base import EngineError, Sampling, TokenChunk
from kat_predictor.engines.batch import Batch, Result
from kat_predictor.engines.capacity import cache_cells
from kat_predictor.engines.chat_tokenizer import ChatTokenizer, stop_ids
from kat_predictor.engines.detokenize import Vocabulary
from kat_predictor.engines.forward import Forward
from kat_predictor.engines.row import Call, Row

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

log = structlog.get_logger(__name__)


class TransformersEngine(ChatTokenizer):
    """One loaded model, run by a thread of its own.

    Args:
        model: a causal language model with full attention, in evaluation mode.
        tokenizer: the model's.
        max_model_len: prompt and completion tokens together; None takes what the model and the memory allow.
        max_batch: sequences computed together; more wait, first come, first served.
        max_batch_tokens: capacity of the key-value cache, as sequences times the longest of them; None derives it
            from the memory at hand.
        prefix_cache_tokens: tokens whose keys and values are kept for prompts to come; 0 keeps none.
        prefill_tokens: prompt tokens computed between two tokens of the running sequences, at most.
        stall_seconds: a step that takes longer makes `health` fail.

    Raises:
        ValueError: the model has layers that cannot be batched, or the sizes contradict one another.
    """

    supports_json_schema = False

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_model_len: int | None = None,
        max_batch: int = 32,
        max_batch_tokens: int | None = None,
        prefix_cache_tokens: int = 8192,
        prefill_tokens: int = 256,
        stall_seconds: float = 120.0,
    ) -> None:
        super().__init__(tokenizer)
        self._forward = Forward(model)
        self._stop_ids = stop_ids(tokenizer, model.config, model.generation_config)
        self._vocabulary = Vocabulary(tokenizer, self._stop_ids)
        cells = max_batch_tokens or cache_cells(self._forward, max_batch, prefix_cache_tokens)
        self._max_model_len = _fitting_length(self._forward.max_length, max_model_len, cells)
        self._batch = Batch(
            self._forward,
            max_rows=max_batch,
            max_cells=cells,
            prefill_tokens=prefill_tokens,
            prefix_cache_tokens=prefix_cache_tokens,
        )
        self._stall_seconds = stall_seconds
        self._step_started: float | None = None
        self._usage = 0.0
        self._changed = threading.Condition()
        # Guarded by the condition:
        self._arrived: list[Call] = []
        self._open: set[Call] = set()
        self._closing = False
        self._failure: EngineError | None = None
        self._worker = threading.Thread(target=self._work, name="engine", daemon=True)
        self._worker.start()
        log.info(
            "engine ready",
            device=str(self._forward.device),
            dtype=str(model.dtype),
            max_model_len=self._max_model_len,
            max_batch=max_batch,
            max_batch_tokens=cells,
        )

    @property
    def max_model_len(self) -> int:
        return self._max_model_len

    @property
    def busy_seconds(self) -> float:
        """Time spent computing since the start; the shares of all calls sum up to it."""
        return self._batch.busy_seconds

    def generate(self, prompt_ids: Sequence[int], sampling: Sampling) -> AsyncGenerator[TokenChunk, None]:
        """Stream tokens; see `Engine`.

        Raises:
            ValueError: at once, for a prompt or settings that cannot be served.
        """
        self._check(prompt_ids, sampling)
        return self._stream(tuple(prompt_ids), sampling)

    async def _stream(self, prompt_ids: tuple[int, ...], sampling: Sampling) -> AsyncGenerator[TokenChunk, None]:
        call = Call(prompt_ids, sampling, asyncio.get_running_loop(), asyncio.Queue())
        with self._changed:
            self._raise_if_gone()
            self._open.add(call)
            self._arrived.append(call)
            self._changed.notify()
        try:
            while True:
                result = await call.results.get()
                if isinstance(result, EngineError):
                    raise result
                yield result
                if result.finish_reason is not None:
                    return
        finally:
            call.cancelled = True
            with self._changed:
                self._open.discard(call)

    def check_json_schema(self, schema: str) -> None:  # noqa: ARG002 - none can be honoured
        raise ValueError("the transformers engine cannot hold output to a JSON schema")

    def kv_cache_usage(self) -> float:
        return self._usage

    async def health(self) -> None:
        with self._changed:
            self._raise_if_gone()
        started = self._step_started
        if started is not None and time.monotonic() - started > self._stall_seconds:
            raise EngineError(f"the engine has not finished a step for {self._stall_seconds:g} s")

    async def close(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify()
        await asyncio.to_thread(self._worker.join)

    def _raise_if_gone(self) -> None:
        if self._closing:
            raise EngineError("the engine is closed")
        if self._failure is not None:
            raise EngineError("the engine has failed") from self._failure

    def _check(self, prompt_ids: Sequence[int], sampling: Sampling) -> None:
        vocabulary = self._forward.vocabulary
        if sampling.json_schema is not None:
            self.check_json_schema(sampling.json_schema)
        if not prompt_ids:
            raise ValueError("the prompt has no tokens")
        if sampling.max_tokens < 1:
            raise ValueError("max_tokens must be at least 1")
        if len(prompt_ids) + sampling.max_tokens > self._max_model_len:
            raise ValueError(
                f"{len(prompt_ids)} prompt tokens and {sampling.max_tokens} more exceed the model's {self._max_model_len}"
            )
        if sampling.temperature < 0 or not 0 < sampling.top_p <= 1:
            raise ValueError("temperature must not be negative, and top_p must be within (0, 1]")
        if sampling.allowed_token_ids is not None and not sampling.allowed_token_ids:
            raise ValueError("allowed_token_ids is empty")
        # An id outside the vocabulary would fail the whole batch, not this call alone.
        if not all(
            0 <= i < vocabulary for i in (*prompt_ids, *sampling.logit_bias, *(sampling.allowed_token_ids or ()))
        ):
            raise ValueError(f"a token id is outside the vocabulary of {vocabulary}")

    # --- the worker's thread

    def _work(self) -> None:
        try:
            with torch.inference_mode():
                while self._take_arrivals():
                    self._step_started = time.monotonic()
                    results = self._batch.step()
                    self._usage = self._batch.usage
                    self._step_started = None
                    self._deliver(results)
            failure = EngineError("the engine is closed")
        except BaseException as error:  # whatever it was, every caller must hear of it
            log.exception("the engine failed")
            failure = EngineError(f"the engine failed: {error}")
            failure.__cause__ = error
        with self._changed:
            self._step_started = None
            self._failure = failure
            calls = list(self._open)
        self._deliver([(call, failure) for call in calls])

    def _take_arrivals(self) -> bool:
        """Wait for work and take it. False when the engine is to stop."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._arrived or self._batch.busy)
            arrived, self._arrived = self._arrived, []
            closing = self._closing
        for call in arrived:
            self._batch.add(Row(call, self._vocabulary, self._stop_ids, self._forward.device))
        return not closing

    def _deliver(self, results: Sequence[Result]) -> None:
        """Hand a step's results to the callers' loops, with one wake-up for each loop."""
        by_loop: dict[asyncio.AbstractEventLoop, list[Result]] = defaultdict(list)
        for call, result in results:
            by_loop[call.loop].append((call, result))
        for loop, batch in by_loop.items():
            try:
                loop.call_soon_threadsafe(_put_all, batch)
            except RuntimeError:
                if not loop.is_closed():
                    raise
                # Its callers are gone without a word.
                for call, _ in batch:
                    call.cancelled = True


def _put_all(results: Sequence[Result]) -> None:
    for call, result in results:
        call.results.put_nowait(result)


def _fitting_length(of_model: int, asked: int | None, cells: int) -> int:
    if asked is None:
        return min(of_model, cells)
    if asked > of_model:
        raise ValueError(f"a length of {asked} tokens is asked for, the model has {of_model}")
    if asked > cells:
        raise ValueError(f"a length of {asked} tokens does not fit in a key-value cache of {cells}")
    return asked
