"""From what a request noted to its span: names, attributes, events. Pure.

Names are those of OpenTelemetry's semantic conventions for generative AI and for HTTP
(github.com/open-telemetry/semantic-conventions-genai and /semantic-conventions, v1.41). They are written out: the
GenAI ones are in development, and the package that holds them is made to change under its users. `kat.*` is ours.

Counts, times, names and identities only: no text of prompt or answer, so no stop sequences either, and no key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kat.usage_event import Segment, Status, Usage, UsageEvent
from kat_predictor.request_trace import CompletionTrace, RequestTrace

PROVIDER: Final = "kat-serving"
_ABORTED: Final = "aborted"
_UNKNOWN_ERROR: Final = "_OTHER"
"""What the conventions say where no kind of error is known."""
_MILLISECOND: Final = 1e-3

Attribute = str | int | float | bool | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SpanStart:
    """What is known when a request begins: what samplers decide by."""

    name: str
    attributes: Mapping[str, Attribute]


@dataclass(frozen=True, slots=True)
class SpanEnd:
    """What is known when it has ended."""

    attributes: Mapping[str, Attribute]
    events: tuple[tuple[str, int], ...]
    """Names and times (in nanoseconds since 1970) of what happened on the way, in that order."""
    failed: bool


def span_start(trace: RequestTrace, completion: CompletionTrace | None) -> SpanStart:
    """The head of a span; `completion` is None for a request that was refused before it was understood."""
    model = None if completion is None else completion.model
    address, port = trace.server or (None, None)
    return SpanStart(
        name=trace.operation if model is None else f"{trace.operation} {model}",
        attributes=_present(
            {
                "gen_ai.operation.name": trace.operation,
                "gen_ai.provider.name": PROVIDER,
                "gen_ai.request.model": model,
                "server.address": address,
                "server.port": port,
                "http.request.method": "POST",
                "url.path": trace.path,
            }
        ),
    )


def span_end(trace: RequestTrace, completion: CompletionTrace | None) -> SpanEnd:
    """All the rest."""
    error = _error_type(trace, completion)
    attributes: dict[str, Attribute | None] = {
        "http.response.status_code": trace.http_status,
        "gen_ai.request.stream": True if trace.streams else None,
        "error.type": error,
    }
    events: list[tuple[str, int]] = []
    if completion is not None:
        attributes |= _request(completion)
        if completion.event is not None:
            attributes |= _usage(completion.event.data) | _response(trace, completion.event)
        if completion.admitted is not None:
            attributes["kat.queue_time"] = completion.admitted - completion.opened
        events = _events(trace, completion)
    return SpanEnd(_present(attributes), tuple(events), failed=error is not None)


def _request(completion: CompletionTrace) -> dict[str, Attribute | None]:
    """What was asked for, where it was; defaults are the server's, and known to it."""
    job, caller = completion.job, completion.caller
    return {
        "gen_ai.request.max_tokens": job.max_tokens,
        "gen_ai.request.temperature": job.temperature,
        "gen_ai.request.top_p": job.top_p,
        "gen_ai.request.seed": job.seed,
        "gen_ai.output.type": None if job.json_schema is None else "json",
        "kat.mode_asked": job.mode.asked.value,
        "kat.think_budget": job.mode.think_budget,
        "kat.tenant": caller.tenant.id,
        "kat.project": caller.key.project,
        "kat.status": None if completion.status is None else completion.status.value,
    }


def _usage(usage: Usage) -> dict[str, Attribute | None]:
    tokens = usage.tokens
    return {
        "gen_ai.usage.input_tokens": tokens.prompt_total,
        "gen_ai.usage.cache_read.input_tokens": tokens.prompt_cached,
        "gen_ai.usage.output_tokens": tokens.completion,
        "gen_ai.usage.reasoning.output_tokens": tokens.reasoning,
        **{f"kat.tokens.{segment.value}": getattr(tokens, segment.value) for segment in Segment},
        "kat.mode": usage.mode.value,
        "kat.mode_source": usage.mode_source.value,
        "kat.ttft": _seconds(usage.ttft_ms),
        "kat.ttfa": _seconds(usage.ttfa_ms),
        "kat.engine_time": usage.engine_seconds,
    }


def _response(trace: RequestTrace, event: UsageEvent) -> dict[str, Attribute | None]:
    usage = event.data
    return {
        "gen_ai.response.id": f"{trace.id_prefix}{event.id}",
        "gen_ai.response.model": usage.model,
        "gen_ai.response.finish_reasons": None if usage.finish_reason is None else (usage.finish_reason,),
        "kat.usage_event.id": str(event.id),
    }


def _events(trace: RequestTrace, completion: CompletionTrace) -> list[tuple[str, int]]:
    usage = None if completion.event is None else completion.event.data
    moments = {
        "kat.admitted": completion.admitted,
        "kat.first_token": None if usage is None else _moment(completion, usage.ttft_ms),
        "kat.mode_known": completion.mode_known,
        "kat.answer_begun": None if usage is None else _moment(completion, usage.ttfa_ms),
    }
    known = [(name, trace.wall_ns(moment)) for name, moment in moments.items() if moment is not None]
    return sorted(known, key=lambda event: event[1])


def _error_type(trace: RequestTrace, completion: CompletionTrace | None) -> str | None:
    status = None if completion is None else completion.status
    if status is Status.ABORTED:
        return _ABORTED
    if trace.error is not None:
        return trace.error
    if status is None:
        return None if trace.answered else _ABORTED
    return _UNKNOWN_ERROR if status in {Status.ERROR, Status.REJECTED} else None


def _moment(completion: CompletionTrace, milliseconds: float | None) -> float | None:
    return None if milliseconds is None else completion.opened + milliseconds * _MILLISECOND


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds * _MILLISECOND


def _present(attributes: Mapping[str, Attribute | None]) -> dict[str, Attribute]:
    return {name: value for name, value in attributes.items() if value is not None}
