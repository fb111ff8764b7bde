"""What one request wants, whichever protocol it came by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kat.usage_event import ModeAsked
from kat_predictor.autothink.mode import ModeRequest
from kat_predictor.chat_template import Message, Tool


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """A conversation: it is templated, and the model thinks or not."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()

    @property
    def last_user_text(self) -> str | None:
        """Where an explicit instruction to think or not would stand."""
        return next((message.content for message in reversed(self.messages) if message.role == "user"), None)


@dataclass(frozen=True, slots=True)
class TextPrompt:
    """Text to go on with, untemplated: no grammar, all that comes is answer."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One completion to make. None: the server's default."""

    prompt: ChatPrompt | TextPrompt
    mode: ModeRequest = ModeRequest(asked=ModeAsked.AUTO, think_budget=None)  # noqa: RUF009 - it is frozen
    max_tokens: int | None = None
    """Of all segments together."""
    max_tokens_param: str = "max_tokens"
    """The name that the limit went by, for complaints about it."""
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    top_logprobs: int | None = None
    """Alternatives to report beside each token; None: no log-probabilities."""
    json_schema: str | None = None
    """What the answer has to obey, as text; its thoughts are free."""
    labels: Mapping[str, str] = field(default_factory=dict)
