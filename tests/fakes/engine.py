"""An engine that says what it is told to: instant, in memory, deterministic."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from kat_predictor.engines.base import EngineError, Sampling, TokenChunk, TokenLogprob

EOS = 0
PLAIN_TEMPLATE = "{{ messages }} (ChatML alone)"
TOOLS_TEMPLATE = "{{ messages }} {{ tools }} (ChatML with tools)"
_TOKENS = re.compile(r"\w+|\s+|[^\w\s]")


@dataclass(frozen=True)
class Reply:
    """What one call says. `fail_after` and `stall_after` count tokens."""

    text: str
    fail_after: int | None = None
    stall_after: int | None = None


@dataclass
class Call:
    """One call that the engine got."""

    prompt: str
    sampling: Sampling
    tokens: int = 0
    """Tokens given so far, the end-of-sequence token included."""
    closed: bool = False
    finished: bool = False


@dataclass
class ScriptedEngine:
    """Says `replies` one after the other, and then the last again; or what a function makes of the prompt.

    A token is a word, a stretch of white space or one other character. `judges` makes the template one of a model
    with a judge of its own.
    """

    replies: Sequence[str | Reply] | Callable[[str], str | Reply] = ("Hello, world!",)
    judges: bool = True
    knows_tools: bool = True
    choice: str = "off"
    """What it draws where it must choose between modes."""
    max_model_len: int = 2_000
    supports_json_schema: bool = False
    """Then it refuses a schema of type `whale`, and takes any other for its word."""
    chunk_tokens: int = 1
    """Tokens that arrive together."""
    cached_prompt_tokens: int = 0
    broken: bool = False
    calls: list[Call] = field(default_factory=list)
    stalled: asyncio.Event = field(default_factory=asyncio.Event)
    resume: asyncio.Event = field(default_factory=asyncio.Event)
    """Lets stalled calls go on."""
    _vocabulary: dict[str, int] = field(default_factory=lambda: {"": EOS})

    @property
    def chat_template(self) -> str | None:
        return TOOLS_TEMPLATE if self.knows_tools else PLAIN_TEMPLATE

    def render_chat(
        self, messages: Sequence[Mapping[str, object]], tools: Sequence[Mapping[str, object]] | None
    ) -> str:
        text = f"[tools {len(tools)}]\n" if tools else ""
        for message in messages:
            calls = f"[calls {message['tool_calls']}]" if "tool_calls" in message else ""
            text += f"<|im_start|>{message['role']}\n{message['content']}{calls}<|im_end|>\n"
        return text + "<|im_start|>assistant\n" + ("<judge>\n" if self.judges else "")

    def encode(self, text: str) -> list[int]:
        return [self._vocabulary.setdefault(piece, len(self._vocabulary)) for piece in _TOKENS.findall(text)]

    def decode(self, ids: Sequence[int]) -> str:
        pieces = list(self._vocabulary)
        return "".join(pieces[identifier] for identifier in ids)

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling) -> AsyncGenerator[TokenChunk, None]:
        if len(prompt_ids) + sampling.max_tokens > self.max_model_len:
            raise ValueError(f"{len(prompt_ids)} + {sampling.max_tokens} tokens do not fit {self.max_model_len}")
        if sampling.json_schema is not None:
            self.check_json_schema(sampling.json_schema)
        call = Call(self.decode(prompt_ids), sampling)
        self.calls.append(call)
        try:
            if self.broken:
                raise EngineError("the engine is gone")
            async for chunk in self._together(self._speak(call)):
                call.tokens += len(chunk.token_ids)
                yield chunk
            call.finished = True
        finally:
            call.closed = True

    async def _together(self, tokens: AsyncGenerator[TokenChunk, None]) -> AsyncGenerator[TokenChunk, None]:
        waiting: list[TokenChunk] = []
        async for token in tokens:
            waiting.append(token)
            if len(waiting) == self.chunk_tokens or token.finish_reason is not None:
                yield TokenChunk(
                    token_ids=tuple(identifier for one in waiting for identifier in one.token_ids),
                    text="".join(one.text for one in waiting),
                    finish_reason=token.finish_reason,
                    logprobs=tuple(logprob for one in waiting for logprob in one.logprobs),
                    cached_prompt_tokens=waiting[0].cached_prompt_tokens,
                    engine_seconds=sum(one.engine_seconds for one in waiting),
                )
                waiting = []

    async def _speak(self, call: Call) -> AsyncGenerator[TokenChunk, None]:
        reply = self._reply(call)
        ids = [*self.encode(reply.text), EOS]
        for index, identifier in enumerate(ids):
            await asyncio.sleep(0)
            if index == reply.fail_after:
                raise EngineError("the engine broke on purpose")
            if index == reply.stall_after:
                self.stalled.set()
                await self.resume.wait()
            yield self._chunk(call, identifier, index, last=index + 1 == min(len(ids), call.sampling.max_tokens))
            if index + 1 == call.sampling.max_tokens:
                return

    def _chunk(self, call: Call, identifier: int, index: int, *, last: bool) -> TokenChunk:
        text = self.decode([identifier])
        finish: Literal["stop", "length"] | None = None
        if last:
            finish = "stop" if identifier == EOS else "length"
        top = call.sampling.top_logprobs
        logprobs = (
            ()
            if top is None
            else (TokenLogprob(text, -0.5, tuple((f"{text}~{rank}", -1.0 - rank) for rank in range(top))),)
        )
        return TokenChunk(
            token_ids=(identifier,),
            text=text,
            finish_reason=finish,
            logprobs=logprobs,
            cached_prompt_tokens=self.cached_prompt_tokens if index == 0 else 0,
            engine_seconds=0.001,
        )

    def _reply(self, call: Call) -> Reply:
        allowed = call.sampling.allowed_token_ids
        if allowed is not None:
            return Reply(next(text for text in map(self.decode, ([one] for one in allowed)) if text == self.choice))
        if callable(self.replies):
            reply = self.replies(call.prompt)
        else:
            spoken = sum(1 for other in self.calls if other.sampling.allowed_token_ids is None) - 1
            reply = self.replies[min(spoken, len(self.replies) - 1)]
        return Reply(reply) if isinstance(reply, str) else reply

    def check_json_schema(self, schema: str) -> None:
        if not self.supports_json_schema:
            raise ValueError("this engine cannot hold output to a JSON schema")
        if '"whale"' in schema:
            raise ValueError("Invalid type: whale")

    def kv_cache_usage(self) -> float:
        return 0.25

    async def health(self) -> None:
        if self.broken:
            raise EngineError("the engine is gone")

    async def close(self) -> None:
        self.broken = True
