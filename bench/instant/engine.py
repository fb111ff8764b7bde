"""An engine without a model: every token is there at once, so that what is measured is the predictor around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Final

from kat_predictor.engines.base import Sampling, TokenChunk

JUDGEMENT: Final = "A greeting needs no thought.\n</judge>\n\n<think_off>\n<answer>\n"
GREETING: Final = "Hello! How can I help you today?"
_END: Final = "\n</answer>"
_EOS: Final = 0
_WORD: Final = 1
_JUDGED: Final = TokenChunk(token_ids=(_WORD,), text=JUDGEMENT, engine_seconds=0.0001)
_WORD_MORE: Final = TokenChunk(token_ids=(_WORD,), text=" word", engine_seconds=0.0001)
_CUT: Final = TokenChunk(token_ids=(_WORD,), text=" word", engine_seconds=0.0001, finish_reason="length")


class InstantEngine:
    """Judges, and answers every prompt without thinking.

    A request without a limit gets the whole answer in one piece, as a server that answers at once would send it. A
    request for `max_tokens` gets so many tokens, one a piece and one a turn of the event loop, as a batch that runs
    step by step would deliver them.
    """

    max_model_len = 32_768
    supports_json_schema = False
    chat_template = "{{ messages }} {{ tools }}"

    def __init__(self, *, default_max_tokens: int) -> None:
        self._default_max_tokens = default_max_tokens
        self._whole = TokenChunk(
            token_ids=(*[_WORD] * 20, _EOS),
            text=f"{JUDGEMENT}{GREETING}{_END}",
            finish_reason="stop",
            engine_seconds=0.001,
        )

    def render_chat(
        self,
        messages: Sequence[Mapping[str, object]],
        tools: Sequence[Mapping[str, object]] | None,  # noqa: ARG002 - the protocol's signature
    ) -> str:
        """The prompt of a model with a judge of its own."""
        turns = [f"<|im_start|>{message['role']}\n{message['content']}<|im_end|>\n" for message in messages]
        return f"{''.join(turns)}<|im_start|>assistant\n<judge>\n"

    def encode(self, text: str) -> list[int]:
        """About as many tokens as a tokenizer would find."""
        return [_WORD] * (len(text) // 4)

    async def generate(
        self,
        prompt_ids: Sequence[int],  # noqa: ARG002 - every prompt gets the same answer
        sampling: Sampling,
    ) -> AsyncGenerator[TokenChunk, None]:
        """The answer, whole or token by token."""
        if sampling.max_tokens == self._default_max_tokens:
            yield self._whole
            return
        chunk = _JUDGED
        for _ in range(sampling.max_tokens - 1):
            await asyncio.sleep(0)
            yield chunk
            chunk = _WORD_MORE
        await asyncio.sleep(0)
        yield _CUT

    def check_json_schema(self, schema: str) -> None:  # noqa: ARG002 - the protocol's signature
        """It knows no schemas."""
        raise ValueError("the instant engine cannot hold output to a JSON schema")

    def kv_cache_usage(self) -> float:
        """There is no cache."""
        return 0.0

    async def health(self) -> None:
        """Always well."""

    async def close(self) -> None:
        """Nothing to stop."""
