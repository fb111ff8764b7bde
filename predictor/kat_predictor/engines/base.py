"""What the predictor asks of an inference engine."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to draw tokens. Temperature 0 is greedy."""

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    top_logprobs: int | None = None
    """Alternatives to report beside each token; None reports no log-probabilities at all."""
    allowed_token_ids: tuple[int, ...] | None = None
    """Draw from these alone."""
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    """Added to the logits, by token id, before anything else is done with them."""
    json_schema: str | None = None
    """A JSON schema, as text, that the generated text as a whole obeys. Engines with `supports_json_schema` only."""


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One token's log-probability under the model, before temperature, bias and filters.

    Where a JSON schema rules tokens out, it is that among the others, and `top` has the others only.
    """

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


class TokenChunk(NamedTuple):
    """Some freshly generated tokens and the text that they complete.

    The texts of a call's chunks, joined, are the decoded text of its tokens. A chunk's text may be empty (a token
    that is a part of a character, or the end-of-sequence token, which counts as generated and has no text).
    """

    token_ids: tuple[int, ...]
    text: str
    finish_reason: Literal["stop", "length"] | None = None
    """Set on the last chunk of a call only. `stop`: the model ended by itself."""
    logprobs: tuple[TokenLogprob, ...] = ()
    """One per token id, or none at all."""
    cached_prompt_tokens: int = 0
    """Prompt tokens served from the prefix cache; on the first chunk of a call only."""
    engine_seconds: float = 0.0
    """The call's share of the engine's busy time since its previous chunk."""


class Engine(Protocol):
    """One loaded model. Safe to use from one event loop by many tasks."""

    @property
    def max_model_len(self) -> int:
        """Prompt and completion tokens together, at most."""
        ...

    @property
    def supports_json_schema(self) -> bool:
        """Whether `Sampling.json_schema` is honoured; otherwise `generate` raises ValueError for it."""
        ...

    def check_json_schema(self, schema: str) -> None:
        """Return where `Sampling.json_schema` would be honoured. Callable from any thread; may take tenths of a second.

        Raises ValueError, with the reason, for a schema that no output could be held to.
        """
        ...

    @property
    def chat_template(self) -> str | None:
        """The tokenizer's chat template, if it has one."""
        ...

    def render_chat(
        self, messages: Sequence[Mapping[str, object]], tools: Sequence[Mapping[str, object]] | None
    ) -> str:
        """The text of the prompt, generation prompt included.

        Raises ValueError where the template refuses the messages.
        """
        ...

    def encode(self, text: str) -> list[int]:
        """Token ids of a text; special tokens written in it are recognised, none are added."""
        ...

    def generate(self, prompt_ids: Sequence[int], sampling: Sampling) -> AsyncGenerator[TokenChunk, None]:
        """Stream tokens. Closing the generator stops the engine's work on this call at once.

        Raises EngineError when the engine fails.
        """
        ...

    def kv_cache_usage(self) -> float:
        """Share of the KV cache in use, 0 to 1."""
        ...

    async def health(self) -> None:
        """Return when the engine works. Raises EngineError otherwise."""
        ...

    async def close(self) -> None:
        """Stop the engine; calls that still run end with EngineError."""
        ...


class EngineError(Exception):
    """The engine failed, or is gone."""
