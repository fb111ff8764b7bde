"""The vLLM engine. Everything that depends on vLLM's version is in this file; it is written for 0.32.

vLLM runs the model in processes of its own and schedules there; this process sends prompts and gets tokens. Text is
made of them here, by the same code as in the other engines, so that an engine never decides what a client reads.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import os
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, NoReturn

import structlog
from pydantic import ValidationError
from transformers import PreTrainedTokenizerBase
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.exceptions import VLLMClientError
from vllm.inputs.engine import tokens_input
from vllm.outputs import CompletionOutput
from vllm.platforms import current_platform
from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams
from vllm.utils.argparse_utils import FlexibleArgumentParser
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError
from vllm.v1.metrics.loggers import StatLoggerBase
from vllm.v1.metrics.stats import IterationStats, SchedulerStats

from kat_predictor.engines.base import EngineError, Sampling, TokenChunk, TokenLogprob
from kat_predictor.engines.chat_tokenizer import ChatTokenizer, stop_ids
from kat_predictor.engines.detokenize import Detokenizer, Vocabulary
from kat_predictor.engines.vllm_arguments import as_command_line, check_names
from kat_predictor.engines.vllm_busy_time import BusyTime, Share
from kat_predictor.engines.vllm_progress import Progress

log = structlog.get_logger(__name__)

_DECIDED_ELSEWHERE = {
    "model": "KAT_MODEL",
    "trust_remote_code": "KAT_TRUST_REMOTE_CODE",
    # Its tokens and statistics are what requests are billed by.
    "skip_tokenizer_init": "the predictor",
    "disable_log_stats": "the predictor",
}
_DEFAULTS: Mapping[str, Any] = {
    "enable_prefix_caching": True,
    # `auto` keeps for all later requests what suits the first JSON schema it gets. This one refuses what it cannot
    # hold the output to, where others leave it out in silence.
    "structured_outputs_config": {"backend": "guidance"},
}
_GUIDANCE: Mapping[str, Any] = {
    # JSON may hold any amount of white space between its parts, and small models then write nothing else. On one line,
    # as most JSON that a model has read is, each separator has one space at most.
    "whitespace_flexible": False,
    "item_separator": ", ?",
    "key_separator": ": ?",
}
_CPU_DEFAULTS: Mapping[str, Any] = {
    # Compiling the model takes minutes on a CPU and gains little there.
    "enforce_eager": True,
    # Otherwise nine tenths of the machine's memory.
    "kv_cache_memory_bytes": 2 * 1024**3,
    # Prompts are cached in whole blocks. vLLM's own 128 tokens are longer than many a chat's prompt, and no faster.
    "block_size": 32,
}


class VllmEngine(ChatTokenizer):
    """One model in vLLM. Make it with `load`. Its methods belong to one event loop."""

    supports_json_schema = True

    def __init__(self, llm: AsyncLLM, statistics: list[_Statistics], busy: BusyTime, progress: Progress) -> None:
        tokenizer: PreTrainedTokenizerBase = llm.get_tokenizer()
        super().__init__(tokenizer)
        self._llm = llm
        self._statistics = statistics
        self._busy = busy
        self._progress = progress
        generation = SimpleNamespace(**llm.model_config.try_get_generation_config())
        self._stop_ids = stop_ids(tokenizer, llm.model_config.hf_text_config, generation)
        self._vocabulary = Vocabulary(tokenizer, self._stop_ids)
        self._max_model_len: int = llm.model_config.max_model_len
        self._call_ids = itertools.count()
        self._running: dict[str, Share] = {}
        for source in statistics:
            source.running = self._running
            source.progress = progress

    @classmethod
    def load(
        cls,
        model: str | Path,
        *,
        max_model_len: int | None = None,
        trust_remote_code: bool = False,
        arguments: Mapping[str, Any] | None = None,
        stall_seconds: float = 120.0,
    ) -> VllmEngine:
        """Start vLLM with a model. Takes a minute or more; call it in a thread.

        Args:
            model: a local folder or a hub id.
            max_model_len: prompt and completion tokens together, at most; None is what the model allows.
            trust_remote_code: run Python code that comes with the model.
            arguments: any of vLLM's engine arguments, by name, with values as `vllm serve` takes them.
            stall_seconds: a step that takes longer makes `health` fail.

        Raises:
            ValueError: One line that names the argument that vLLM does not have or does not accept.
            OSError: there is no such checkpoint.
            EngineError: vLLM did not start; its own log, just above, says why.
        """
        if str(model).startswith(("/", ".", "~")) and not Path(model).is_dir():
            raise FileNotFoundError(f"there is no checkpoint folder {model}")
        # A deployment of other people's models reports to nobody unless its operator says so.
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        engine_arguments = _engine_arguments(
            model, max_model_len=max_model_len, trust_remote_code=trust_remote_code, arguments=arguments or {}
        )
        statistics: list[_Statistics] = []

        def statistics_of(_config: object, _engine_index: int) -> _Statistics:
            statistics.append(_Statistics())
            return statistics[-1]

        if trust_remote_code:
            log.warning("code that comes with the checkpoint will run in vLLM's processes", checkpoint=str(model))
        log.info("starting vLLM", model=str(model), device=current_platform.device_name)
        started = time.monotonic()
        try:
            llm = AsyncLLM.from_engine_args(engine_arguments, stat_loggers=[statistics_of])
        except ValidationError as error:
            raise ValueError("; ".join(fault["msg"] for fault in error.errors())) from error
        except RuntimeError as error:
            raise EngineError(f"vLLM did not start: {error}") from error
        log.info("vLLM is up", seconds=round(time.monotonic() - started, 1))
        return cls(llm, statistics, BusyTime(time.perf_counter), Progress(stall_seconds, time.monotonic))

    @property
    def max_model_len(self) -> int:
        return self._max_model_len

    def generate(self, prompt_ids: Sequence[int], sampling: Sampling) -> AsyncGenerator[TokenChunk, None]:
        """Stream tokens; see `Engine`.

        Raises:
            ValueError: for a prompt or settings that cannot be served: most at once, those that vLLM alone can judge
                (a token id outside of the vocabulary, a JSON schema) on the first step.
        """
        if len(prompt_ids) + sampling.max_tokens > self._max_model_len:
            raise ValueError(
                f"{len(prompt_ids)} prompt tokens and {sampling.max_tokens} more exceed the model's {self._max_model_len}"
            )
        return self._stream(list(prompt_ids), self._parameters(sampling))

    async def _stream(self, prompt_ids: list[int], parameters: SamplingParams) -> AsyncGenerator[TokenChunk, None]:
        call_id = str(next(self._call_ids))
        self._progress.begin(at_work=self._at_work)
        text = Detokenizer(self._vocabulary)
        share = self._running[call_id] = self._busy.join()
        outputs = self._llm.generate(tokens_input(prompt_ids), parameters, call_id)
        first = True
        try:
            async for output in outputs:
                [completion] = output.outputs
                if first and completion.finish_reason == "error" and parameters.structured_outputs is not None:
                    # vLLM compiles it where it schedules, and why it could not stands in its log only.
                    raise ValueError("the JSON schema cannot be made into a grammar")
                cached, first = output.num_cached_tokens if first else 0, False
                yield self._chunk(completion, text, share, parameters.logprobs, cached or 0)
        except (EngineDeadError, EngineGenerateError) as error:
            raise EngineError(str(error)) from error
        except VLLMClientError as error:
            raise ValueError(str(error)) from error
        finally:
            self._running.pop(call_id).stop()
            # Left to itself, the abandoned generator would abort the call only when it is collected.
            await outputs.aclose()

    def _parameters(self, sampling: Sampling) -> SamplingParams:
        structure = sampling.json_schema
        try:
            return SamplingParams(
                max_tokens=sampling.max_tokens,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                seed=sampling.seed,
                logprobs=sampling.top_logprobs,
                allowed_token_ids=None if sampling.allowed_token_ids is None else list(sampling.allowed_token_ids),
                logit_bias=dict(sampling.logit_bias) or None,
                stop_token_ids=list(self._stop_ids),
                structured_outputs=None if structure is None else self._structured_outputs(structure),
                output_kind=RequestOutputKind.DELTA,
                detokenize=False,
                skip_clone=True,
            )
        except VLLMClientError as error:
            raise ValueError(str(error)) from error

    def _structured_outputs(self, schema: str) -> StructuredOutputsParams:
        decoded = json.loads(schema)
        if self._llm.vllm_config.structured_outputs_config.backend == "guidance" and isinstance(decoded, dict):
            # A keyword of this backend's own; who writes it into a schema has the last word.
            own = decoded.get("x-guidance")
            decoded["x-guidance"] = {**_GUIDANCE, **(own if isinstance(own, dict) else {})}
        return StructuredOutputsParams(json=json.dumps(decoded))

    def check_json_schema(self, schema: str) -> None:
        parameters = self._parameters(Sampling(max_tokens=1, json_schema=schema))
        try:
            # What vLLM does with each call that it is given, for whichever backend it was set up with.
            parameters.verify(
                self._llm.model_config, None, self._llm.vllm_config.structured_outputs_config, self._llm.get_tokenizer()
            )
        except VLLMClientError as error:
            raise ValueError(str(error)) from error

    def _chunk(
        self, output: CompletionOutput, text: Detokenizer, share: Share, top: int | None, cached: int
    ) -> TokenChunk:
        finish = _finish_reason(output)
        pieces = [text.feed(token_id) for token_id in output.token_ids]
        if finish is not None:
            pieces.append(text.finish())
        return TokenChunk(
            token_ids=tuple(output.token_ids),
            text="".join(pieces),
            finish_reason=finish,
            logprobs=() if top is None else self._logprobs(output, top),
            cached_prompt_tokens=cached,
            engine_seconds=share.take(),
        )

    def _logprobs(self, output: CompletionOutput, top: int) -> tuple[TokenLogprob, ...]:
        word = self._vocabulary.token_text
        return tuple(
            TokenLogprob(
                token=word(token_id),
                logprob=position[token_id].logprob,
                # The drawn token is among them, likely or not; its rank tells.
                top=tuple(
                    (word(other), entry.logprob)
                    for other, entry in sorted(position.items(), key=lambda item: item[1].rank)
                    # A token that the grammar rules out has no probability, and JSON no word for minus infinity.
                    if entry.rank <= top and entry.logprob > -math.inf
                ),
            )
            for token_id, position in zip(output.token_ids, output.logprobs, strict=True)
        )

    def kv_cache_usage(self) -> float:
        return sum(source.kv_cache_usage for source in self._statistics) / len(self._statistics)

    @property
    def running_requests(self) -> int:
        """Sequences in vLLM's running batch, by its own count after its last step."""
        return sum(source.running_requests for source in self._statistics)

    @property
    def busy_seconds(self) -> float:
        """Time in which any call ran; the calls' engine_seconds add up to it."""
        return self._busy.seconds

    @property
    def _at_work(self) -> bool:
        # Also by its own last word: clients who give up on a scheduler that hangs must not hide that it does.
        return self._llm.get_num_unfinished_requests() > 0 or self.running_requests > 0

    async def health(self) -> None:
        try:
            await self._llm.check_health()
        except EngineDeadError as error:
            raise EngineError(str(error)) from error
        if self._progress.stalled(at_work=self._at_work):
            raise EngineError(f"vLLM has work, and has not finished a step for {self._progress.stall_seconds:g} s")

    async def close(self) -> None:
        # Calls that still run wait for output that will not come any more.
        self._llm.output_processor.propagate_error(EngineDeadError())
        if self._llm.output_handler is not None:
            # It would take the end for a crash, and log it as one.
            self._llm.output_handler.cancel()
        await asyncio.to_thread(self._llm.shutdown)
        # vLLM closes its sockets and forgets the context they are in.
        self._llm.engine_core.resources.ctx.destroy()


class _Statistics(StatLoggerBase):  # type: ignore[misc] # vLLM is not type-checked along
    """What vLLM tells of itself after each step, of one of its schedulers."""

    def __init__(self) -> None:
        self.kv_cache_usage = 0.0
        self.running_requests = 0
        self.running: Mapping[str, Share] = {}
        self.progress: Progress | None = None

    def record(
        self,
        scheduler_stats: SchedulerStats | None,
        iteration_stats: IterationStats | None,
        mm_cache_stats: object = None,  # noqa: ARG002 - vLLM's signature
        engine_idx: int = 0,  # noqa: ARG002 - vLLM's signature
    ) -> None:
        if self.progress is not None:
            self.progress.step()
        if scheduler_stats is not None:
            self.kv_cache_usage = scheduler_stats.kv_cache_usage
            self.running_requests = scheduler_stats.num_running_reqs
        if iteration_stats is not None:
            # A call ends here, not when a slow client has read the last of it.
            for finished in iteration_stats.finished_requests:
                if finished.request_id in self.running:
                    self.running[finished.request_id].stop()

    def log_engine_initialized(self) -> None:
        """Nothing to say."""


def _finish_reason(output: CompletionOutput) -> Literal["stop", "length"] | None:
    match output.finish_reason:
        case None | "stop" | "length" as reason:
            return reason
        case reason:
            raise EngineError(f"vLLM ended the call: {reason}")


class _Parser(FlexibleArgumentParser):  # type: ignore[misc] # vLLM is not type-checked along
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def _engine_arguments(
    model: str | Path, *, max_model_len: int | None, trust_remote_code: bool, arguments: Mapping[str, Any]
) -> AsyncEngineArgs:
    check_names(arguments, {field.name for field in fields(AsyncEngineArgs)}, _DECIDED_ELSEWHERE)
    defaults = {**_DEFAULTS, **(_CPU_DEFAULTS if current_platform.is_cpu() else {})}
    if max_model_len is not None:
        if arguments.get("max_model_len", max_model_len) != max_model_len:
            raise ValueError("max_model_len is set by KAT_MAX_MODEL_LEN already, to something else")
        defaults["max_model_len"] = max_model_len
    decided = {"model": str(model), "trust_remote_code": trust_remote_code, "disable_log_stats": True}
    # Through vLLM's own parser: it checks types and choices, and means by a value what `vllm serve` means by it.
    parser = AsyncEngineArgs.add_cli_args(_Parser(add_help=False, allow_abbrev=False))
    return AsyncEngineArgs.from_cli_args(parser.parse_args(as_command_line({**defaults, **arguments, **decided})))
