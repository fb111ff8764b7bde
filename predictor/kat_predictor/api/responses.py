"""Whole responses: what a completion told, gathered into one object."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

from kat_predictor.api import fields
from kat_predictor.engines.base import TokenLogprob
from kat_predictor.events import (
    AnswerText,
    CompletionEvent,
    Finished,
    ModeKnown,
    ReasoningText,
    Started,
    ToolCalled,
)


@dataclass(slots=True)
class Gathered:
    """All of a completion that ended well."""

    started: Started
    finished: Finished
    reasoning: str
    answer: str
    logprobs: list[TokenLogprob] = field(default_factory=list)
    tool_calls: list[ToolCalled] = field(default_factory=list)


async def gather(events: AsyncGenerator[CompletionEvent, None]) -> Gathered:
    """Run a completion to its end. Raises what the completion raises."""
    started: Started | None = None
    finished: Finished | None = None
    reasoning: list[str] = []
    answer: list[str] = []
    logprobs: list[TokenLogprob] = []
    calls: list[ToolCalled] = []
    async with aclosing(events):
        async for event in events:
            match event:
                case AnswerText():
                    answer.append(event.text)
                    logprobs += event.logprobs
                case ReasoningText():
                    reasoning.append(event.text)
                case ToolCalled():
                    calls.append(event)
                case Started():
                    started = event
                case Finished():
                    finished = event
                case ModeKnown():
                    pass  # the last word on it is in Finished
    if started is None or finished is None:
        raise RuntimeError("a completion ended without saying so")
    return Gathered(started, finished, "".join(reasoning), "".join(answer), logprobs, calls)


def chat_completion(gathered: Gathered, *, model: str, logprobs: bool) -> dict[str, object]:
    """The body of `/v1/chat/completions`."""
    finished = gathered.finished
    reasoning = gathered.reasoning or None
    message: dict[str, object] = {
        "role": "assistant",
        # A turn that is nothing but calls has no content, not an empty one.
        "content": gathered.answer or (None if gathered.tool_calls else ""),
        "refusal": None,
        # vLLM renamed the first to the second; clients of either find what they look for.
        "reasoning_content": reasoning,
        "reasoning": reasoning,
    }
    if gathered.tool_calls:
        message["tool_calls"] = [fields.tool_call(call) for call in gathered.tool_calls]
    return {
        "id": f"chatcmpl-{gathered.started.id}",
        "object": "chat.completion",
        "created": fields.unix_time(gathered.started.time),
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": message,
                "logprobs": fields.chat_logprobs(gathered.logprobs) if logprobs else None,
                "finish_reason": finished.finish_reason,
            }
        ],
        "usage": fields.usage(finished.tokens),
        "kat": fields.kat(finished.mode, finished.mode_source),
    }


def text_completion(gathered: Gathered, *, model: str, logprobs: bool) -> dict[str, object]:
    """The body of `/v1/completions`."""
    finished = gathered.finished
    return {
        "id": f"cmpl-{gathered.started.id}",
        "object": "text_completion",
        "created": fields.unix_time(gathered.started.time),
        "model": model,
        "choices": [
            {
                "index": 0,
                "text": gathered.answer,
                "logprobs": fields.TextLogprobs().of(gathered.logprobs) if logprobs else None,
                "finish_reason": finished.finish_reason,
            }
        ],
        "usage": fields.usage(finished.tokens),
        "kat": fields.kat(finished.mode, finished.mode_source),
    }
