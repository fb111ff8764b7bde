"""Evaluates a model through a serving API: our predictor, or any OpenAI-compatible endpoint."""

from __future__ import annotations

from typing import Any, Final

from kat.usage_event import Mode, ModeAsked
from kat_training.chat_endpoint import CallFailed, ChatEndpoint, EndpointRefused, Reply
from kat_training.errors import SubjectError
from kat_training.sample import Sample, read_turn
from kat_training.scores import Completion

_FORCED: Final[dict[ModeAsked, dict[str, Any]]] = {
    ModeAsked.AUTO: {},
    ModeAsked.ON: {"chat_template_kwargs": {"enable_thinking": True}},
    ModeAsked.OFF: {"chat_template_kwargs": {"enable_thinking": False}},
}


class EndpointSubject:
    """A served model, asked greedily.

    Args:
        endpoint: Where it is served.
        max_tokens: Of a completion, all segments together.
    """

    def __init__(self, endpoint: ChatEndpoint, *, max_tokens: int) -> None:
        self._endpoint = endpoint
        self._max_tokens = max_tokens

    async def complete(self, sample: Sample, asked: ModeAsked) -> Completion:
        """Answer a sample's question.

        Raises:
            SubjectError: It did not answer; an evaluation with holes would compare different questions.
        """
        try:
            reply = await self._endpoint.ask(
                sample.messages, max_tokens=self._max_tokens, temperature=0, **_FORCED[asked]
            )
        except (CallFailed, EndpointRefused) as error:
            raise SubjectError(f"sample {sample.id} got no answer: {error}") from error
        return _completion(reply)


def _completion(reply: Reply) -> Completion:
    """The mode is what our predictor says it was; elsewhere, what the text or the reasoning beside it shows."""
    mode, answer = reply.mode, reply.text
    if mode is None:
        turn = read_turn(reply.text)
        if turn.mode is not Mode.UNDECIDED:
            mode, answer = turn.mode, turn.answer
        else:
            mode = Mode.ON if reply.thought else Mode.OFF
    return Completion(mode, answer.strip(), reply.completion_tokens)
