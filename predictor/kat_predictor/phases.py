"""The calls that auto-think's driver asks for, made on an engine and entered in the books."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final, Literal, Protocol

from kat.usage_event import Mode, ModeSource, Segment
from kat_predictor.autothink.attribution import Delta
from kat_predictor.autothink.driver import Call, Driver
from kat_predictor.engines.base import Engine, Sampling, TokenChunk

_FinishReason = Literal["stop", "length"]
_GREEDY: Final = 0.0


class Books(Protocol):
    """What a request's calls are entered in: `accounting.Accounting`, where they are served."""

    def prompt(self, *, tokens: int, cached: int = 0) -> None: ...

    def chunk(self, tokens: int, engine_seconds: float) -> None: ...

    def mode_is(self, mode: Mode, source: ModeSource) -> None: ...

    def add(self, segment: Segment, tokens: int) -> None: ...


class Phases:
    """One request's calls.

    Args:
        engine: Makes the tokens.
        driver: Says what to generate next.
        accounting: The request's books.
        prompt_ids: The user's own prompt.
        judge_prompt_ids: Makes the prompt of the emulated judge, for when the driver asks for it.
        sampling: How the user wants tokens drawn, and the form of the answer; the driver says how many, and which
            calls have that form.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        driver: Driver,
        accounting: Books,
        prompt_ids: list[int],
        judge_prompt_ids: Callable[[], list[int]],
        sampling: Sampling,
    ) -> None:
        self._engine = engine
        self._driver = driver
        self._accounting = accounting
        self._prompt_tokens = len(prompt_ids)
        self._judge_prompt_ids = judge_prompt_ids
        self._contexts: dict[Literal["chat", "judge"], list[int]] = {"chat": list(prompt_ids)}
        self._sampling = sampling
        self._chat_begun = False

    async def deltas(self) -> AsyncGenerator[Delta, None]:
        """All that the model says, until the driver is satisfied. Closing this stops the engine.

        Raises:
            EngineError: The engine failed.
        """
        self._accounting.prompt(tokens=self._prompt_tokens)
        call: Call | None = self._driver.start()
        while call is not None:
            finish_reason: _FinishReason | None = "length"
            context = self._context(call)
            room = self._engine.max_model_len - len(context)
            # What the server itself inserted may have taken the last of the context: then there is nothing to generate.
            if room > 0:
                finish_reason = None
                async with aclosing(self._engine.generate(context, self._drawing(call, room))) as chunks:
                    async for chunk in chunks:
                        self._enter(call, chunk)
                        context += chunk.token_ids
                        for delta in self._credited(
                            self._driver.feed(chunk.text, len(chunk.token_ids), chunk.logprobs)
                        ):
                            yield delta
                        finish_reason = chunk.finish_reason
                        if self._driver.interrupted:
                            break
                if finish_reason == "stop":
                    # The end-of-sequence token would end the turn for what is to follow.
                    context.pop()
            deltas, call = self._driver.end(finish_reason)
            for delta in self._credited(deltas):
                yield delta

    def _context(self, call: Call) -> list[int]:
        if call.prompt not in self._contexts:
            self._contexts[call.prompt] = self._judge_prompt_ids()
        context = self._contexts[call.prompt]
        if call.drop:
            del context[-call.drop :]
        context += self._engine.encode(call.insert)
        return context

    def _drawing(self, call: Call, room: int) -> Sampling:
        asked = self._sampling
        first_tokens = [self._engine.encode(choice)[0] for choice in call.choices]
        return Sampling(
            max_tokens=min(call.max_tokens, room),
            temperature=_GREEDY if call.greedy else asked.temperature,
            top_p=1.0 if call.greedy else asked.top_p,
            seed=asked.seed,
            # The alternatives of a mode tag or of the judge's scaffold are nothing that a user asked about.
            top_logprobs=None if call.prompt == "judge" else asked.top_logprobs,
            allowed_token_ids=tuple(first_tokens) or None,
            logit_bias=dict(zip(first_tokens, call.choice_bias, strict=True)),
            json_schema=asked.json_schema if call.structured else None,
        )

    def _enter(self, call: Call, chunk: TokenChunk) -> None:
        if call.prompt == "chat" and not self._chat_begun:
            self._chat_begun = True
            self._accounting.prompt(tokens=self._prompt_tokens, cached=chunk.cached_prompt_tokens)
        self._accounting.chunk(len(chunk.token_ids), chunk.engine_seconds)

    def _credited(self, deltas: list[Delta]) -> list[Delta]:
        # The mode first: what is observed of a token is observed under its mode.
        self._accounting.mode_is(self._driver.mode, self._driver.mode_source)
        for delta in deltas:
            self._accounting.add(delta.segment, delta.tokens)
        return deltas
