"""The parts that responses and stream chunks share, in OpenAI's words."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from kat.usage_event import Mode, ModeSource, Tokens
from kat_predictor.engines.base import TokenLogprob
from kat_predictor.events import ToolCalled


def unix_time(time: datetime) -> int:
    """Whole seconds since 1970, as `created` has them."""
    return int(time.timestamp())


def usage(tokens: Tokens) -> dict[str, object]:
    """The usage of a request. `kat_segments` are disjoint and sum to `total_tokens`."""
    return {
        "prompt_tokens": tokens.prompt_total,
        "completion_tokens": tokens.completion,
        "total_tokens": tokens.prompt_total + tokens.completion,
        "prompt_tokens_details": {"cached_tokens": tokens.prompt_cached},
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "kat_segments": tokens.model_dump(),
    }


def kat(mode: Mode, source: ModeSource) -> dict[str, str]:
    """The mode used, and who chose it."""
    return {"mode": mode.value, "mode_source": source.value}


def tool_call(call: ToolCalled) -> dict[str, object]:
    """A call of a tool in a message."""
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def chat_logprobs(logprobs: Iterable[TokenLogprob]) -> dict[str, object]:
    """Log-probabilities in the form of `/v1/chat/completions`."""
    return {
        "content": [
            {
                **_token(entry.token, entry.logprob),
                "top_logprobs": [_token(token, logprob) for token, logprob in entry.top],
            }
            for entry in logprobs
        ],
        "refusal": None,
    }


def _token(token: str, logprob: float) -> dict[str, object]:
    # A token that is a part of a character has no text of its own, so its bytes cannot be told from it.
    whole = "\ufffd" not in token
    return {"token": token, "logprob": logprob, "bytes": list(token.encode()) if whole else None}


class TextLogprobs:
    """Log-probabilities in the form of `/v1/completions`, which needs each token's offset in the whole text."""

    def __init__(self) -> None:
        self._offset = 0

    def of(self, logprobs: Iterable[TokenLogprob]) -> dict[str, object]:
        """Those of a stretch of text that follows what was given before."""
        entries = list(logprobs)
        offsets = []
        for entry in entries:
            offsets.append(self._offset)
            self._offset += len(entry.token)
        return {
            "tokens": [entry.token for entry in entries],
            "token_logprobs": [entry.logprob for entry in entries],
            "top_logprobs": [dict(entry.top) for entry in entries],
            "text_offset": offsets,
        }
