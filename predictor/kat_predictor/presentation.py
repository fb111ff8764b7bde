"""From the model's segments to what a client is shown: reasoning, answer, calls of tools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kat.usage_event import Segment
from kat_predictor.autothink.attribution import Delta
from kat_predictor.engines.base import TokenLogprob
from kat_predictor.events import AnswerText, ReasoningText, ToolCalled
from kat_predictor.tool_calls import ToolCall, ToolCallSplitter

_BETWEEN_JUDGE_AND_THOUGHT: Final = "\n\n"
Shown = ReasoningText | AnswerText | ToolCalled


class Presentation:
    """What is shown of one completion.

    Reasoning is the judge's text followed by the thoughts, an empty line between the two. Control text is not shown.

    Args:
        new_call_id: Makes the ids of tool calls; None where no tools were offered: then their tags are plain text.
    """

    def __init__(self, new_call_id: Callable[[], str] | None) -> None:
        self._splitter = None if new_call_id is None else ToolCallSplitter(new_call_id)
        self._judged = False
        self._calls = 0
        self._logprobs: list[TokenLogprob] = []

    @property
    def has_calls(self) -> bool:
        """At least one tool was called."""
        return self._calls > 0

    def show(self, delta: Delta) -> list[Shown]:
        """What to show of a delta; nothing, where it is held back or of no interest."""
        if delta.segment is Segment.ANSWER:
            if delta.marks:
                self._logprobs += (mark for mark in delta.marks if isinstance(mark, TokenLogprob))
            if self._splitter is None:
                return self._answer(delta.text)
            return self._split(self._splitter.feed(delta.text))
        if delta.text and delta.segment is Segment.JUDGE:
            self._judged = True
            return [ReasoningText(delta.text)]
        if delta.text and delta.segment is Segment.THINK:
            text = _BETWEEN_JUDGE_AND_THOUGHT + delta.text if self._judged else delta.text
            self._judged = False
            return [ReasoningText(text)]
        return []

    def end(self) -> list[Shown]:
        """What was held back: the answer is complete."""
        shown = [] if self._splitter is None else self._split(self._splitter.finish())
        if self._logprobs:
            shown += self._answer("")
        return shown

    def _split(self, parts: list[str | ToolCall]) -> list[Shown]:
        shown: list[Shown] = []
        for part in parts:
            if isinstance(part, ToolCall):
                shown.append(ToolCalled(self._calls, part.id, part.name, part.arguments))
                self._calls += 1
            else:
                shown += self._answer(part)
        return shown

    def _answer(self, text: str) -> list[Shown]:
        if not text and (self._splitter is not None or not self._logprobs):
            return []
        logprobs, self._logprobs = tuple(self._logprobs), []
        return [AnswerText(text, logprobs)]
