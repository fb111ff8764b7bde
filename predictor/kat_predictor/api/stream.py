"""Server-sent events, as OpenAI sends them. Chunks are put together from pieces encoded once a response."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final, Protocol

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from kat_predictor.api import fields
from kat_predictor.api.answers import error_answer, internal_error
from kat_predictor.errors import ApiError
from kat_predictor.events import (
    AnswerText,
    CompletionEvent,
    Finished,
    ModeKnown,
    ReasoningText,
    Started,
    ToolCalled,
)
from kat_predictor.request_trace import note_error

_DONE: Final = b"data: [DONE]\n\n"


class Encoder(Protocol):
    """Turns what a completion tells into server-sent events."""

    def encode(self, event: CompletionEvent) -> bytes:
        """The events to send now; empty for none."""
        ...


class _Chunks:
    """The frame around each chunk of one response."""

    def __init__(self, *, model: str, kind: str, id_prefix: str, include_usage: bool) -> None:
        self._model = model
        self._kind = kind
        self._id_prefix = id_prefix
        self._include_usage = include_usage
        # With include_usage every chunk has the field, null in all but the last.
        self._tail = b',"usage":null}\n\n' if include_usage else b"}\n\n"
        self._head = b""

    def start(self, started: Started) -> None:
        head = {
            "id": f"{self._id_prefix}-{started.id}",
            "object": self._kind,
            "created": fields.unix_time(started.time),
            "model": self._model,
        }
        self._head = b"data: " + orjson.dumps(head)[:-1]

    def chunk(self, choice: bytes, kat: dict[str, str] | None = None) -> bytes:
        """A chunk with one choice: its JSON members behind `"index":0,`."""
        extra = b"" if kat is None else b',"kat":' + orjson.dumps(kat)
        return b'%b,"choices":[{"index":0,%b}]%b%b' % (self._head, choice, extra, self._tail)

    def end(self, finished: Finished) -> bytes:
        if not self._include_usage:
            return _DONE
        kat = orjson.dumps(fields.kat(finished.mode, finished.mode_source))
        usage = orjson.dumps(fields.usage(finished.tokens))
        return b'%b,"choices":[],"kat":%b,"usage":%b}\n\n%b' % (self._head, kat, usage, _DONE)


class ChatEncoder:
    """The stream of `/v1/chat/completions`."""

    def __init__(self, *, model: str, include_usage: bool, logprobs: bool) -> None:
        self._chunks = _Chunks(
            model=model, kind="chat.completion.chunk", id_prefix="chatcmpl", include_usage=include_usage
        )
        self._logprobs = logprobs

    def encode(self, event: CompletionEvent) -> bytes:
        """The events to send now."""
        match event:
            case AnswerText():
                logprobs = fields.chat_logprobs(event.logprobs) if self._logprobs else None
                return self._delta(b'{"content":%b}' % orjson.dumps(event.text), logprobs)
            case ReasoningText():
                text = orjson.dumps(event.text)
                # vLLM renamed the first to the second; clients of either find what they look for.
                return self._delta(b'{"reasoning_content":%b,"reasoning":%b}' % (text, text))
            case ToolCalled():
                call = {"index": event.index, **fields.tool_call(event)}
                return self._delta(orjson.dumps({"tool_calls": [call]}))
            case ModeKnown():
                return self._chunks.chunk(_choice(b"{}"), fields.kat(event.mode, event.source))
            case Started():
                self._chunks.start(event)
                return self._delta(b'{"role":"assistant","content":""}')
            case Finished():
                last = _choice(b"{}", finish_reason=event.finish_reason)
                return self._chunks.chunk(last, fields.kat(event.mode, event.mode_source)) + self._chunks.end(event)

    def _delta(self, delta: bytes, logprobs: dict[str, object] | None = None) -> bytes:
        return self._chunks.chunk(_choice(delta, logprobs=logprobs))


class TextEncoder:
    """The stream of `/v1/completions`, where all text is answer."""

    def __init__(self, *, model: str, include_usage: bool, logprobs: bool) -> None:
        self._chunks = _Chunks(model=model, kind="text_completion", id_prefix="cmpl", include_usage=include_usage)
        self._logprobs = fields.TextLogprobs() if logprobs else None

    def encode(self, event: CompletionEvent) -> bytes:
        """The events to send now."""
        match event:
            case AnswerText():
                logprobs = None if self._logprobs is None else self._logprobs.of(event.logprobs)
                return self._chunks.chunk(
                    b'"text":%b,"logprobs":%b,"finish_reason":null' % (orjson.dumps(event.text), orjson.dumps(logprobs))
                )
            case Started():
                self._chunks.start(event)
                return b""
            case Finished():
                reason = orjson.dumps(event.finish_reason)
                last = b'"text":"","logprobs":null,"finish_reason":%b' % reason
                return self._chunks.chunk(last, fields.kat(event.mode, event.mode_source)) + self._chunks.end(event)
            case ModeKnown() | ReasoningText() | ToolCalled():
                return b""


def _choice(delta: bytes, *, logprobs: dict[str, object] | None = None, finish_reason: str | None = None) -> bytes:
    return b'"delta":%b,"logprobs":%b,"finish_reason":%b' % (
        delta,
        b"null" if logprobs is None else orjson.dumps(logprobs),
        orjson.dumps(finish_reason),
    )


class EventStream(Response):
    """Sends a completion as it comes.

    The response begins with the completion's second event, its first token: a refusal, or an engine that fails at
    once, is still an answer with a status of its own. What fails later ends the stream with an error object.
    """

    def __init__(self, events: AsyncGenerator[CompletionEvent, None], encoder: Encoder) -> None:
        # The base class would set the length of a body; this one is not known.
        self._events = events
        self._encoder = encoder
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the response."""
        begun = False
        pieces = b""
        try:
            async with aclosing(self._events):
                async for event in self._events:
                    pieces += self._encoder.encode(event)
                    if isinstance(event, Started) or not pieces:
                        continue
                    if not begun:
                        begun = True
                        await send(_START)
                    await send({"type": "http.response.body", "body": pieces, "more_body": True})
                    pieces = b""
        except Exception as error:  # noqa: BLE001 - whatever it was, a client that waits must be told
            path = scope["path"]
            api_error = error if isinstance(error, ApiError) else internal_error(error, path)
            if not begun:
                await error_answer(api_error, path)(scope, receive, send)
                return
            note_error(api_error.code or api_error.type)
            failure = b"data: %b\n\n" % orjson.dumps(api_error.to_openai())
            await send({"type": "http.response.body", "body": failure, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


_START: Final = {
    "type": "http.response.start",
    "status": 200,
    "headers": [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-cache"),
        # nginx would hold chunks back until its buffer is full.
        (b"x-accel-buffering", b"no"),
    ],
}
