"""What a running completion tells, in the order in which it happens.

Started, (ModeKnown | ReasoningText | AnswerText | ToolCalled)*, Finished
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from kat.usage_event import Mode, ModeSource, Tokens
from kat_predictor.engines.base import TokenLogprob


@dataclass(frozen=True, slots=True)
class Started:
    """It was admitted. The id is that of its usage event."""

    id: UUID
    time: datetime


@dataclass(frozen=True, slots=True)
class ModeKnown:
    """Thinking or not, and who chose it."""

    mode: Mode
    source: ModeSource


class ReasoningText(NamedTuple):
    """More of what the model says before its answer: the judge's words, then the thoughts."""

    text: str


class AnswerText(NamedTuple):
    """More of the answer."""

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """A whole call of a tool."""

    index: int
    id: str
    name: str
    arguments: str
    """JSON."""


@dataclass(frozen=True, slots=True)
class Finished:
    """It ended well, and its usage event is on disk."""

    finish_reason: str
    """`stop`, `length` or `tool_calls`."""
    tokens: Tokens
    mode: Mode
    mode_source: ModeSource


CompletionEvent = Started | ModeKnown | ReasoningText | AnswerText | ToolCalled | Finished
