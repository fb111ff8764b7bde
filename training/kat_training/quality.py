"""What makes a sample unfit to learn from. A fault is a counted drop, never a silently wrong sample."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from kat.usage_event import Mode
from kat_predictor.autothink import grammar
from kat_predictor.autothink.history import CHATML_TOKENS
from kat_predictor.autothink.instruction import explicit_instruction
from kat_training.checks import RunTests, is_right
from kat_training.sample import Sample, read_turn

_FORBIDDEN: Final = (*grammar.TAGS, *CHATML_TOKENS)
MAX_CHARACTERS: Final = 4_000
"""Of the conversation and of the turn to learn, each."""


class Fault(StrEnum):
    """Why a sample was dropped."""

    EMPTY = "empty"
    """No question, judge sentence or answer; or no thought where thinking is on."""
    BROKEN_TAGS = "broken_tags"
    """A tag of the grammar or of the chat format within a text; or the turn does not read back as what was written."""
    TOO_LONG = "too_long"
    WRONG_ANSWER = "wrong_answer"
    """The answer fails its own check."""
    CONTRADICTS_INSTRUCTION = "contradicts_instruction"
    """The question's words ask for the other mode, or the sample claims an instruction that is not there."""
    DUPLICATE = "duplicate"
    """The same question again, or nearly."""


def fault(sample: Sample, run_tests: RunTests) -> Fault | None:
    """The first fault of a sample taken alone."""
    texts = [sample.judgement, sample.thought, sample.answer, *(message.content for message in sample.messages)]
    needed = [sample.judgement, sample.answer, *(message.content for message in sample.messages)]
    if sample.mode is Mode.ON:
        needed.append(sample.thought)
    if not sample.messages or not all(text.strip() for text in needed):
        return Fault.EMPTY
    if any(tag in text for text in texts for tag in _FORBIDDEN) or not _reads_back(sample):
        return Fault.BROKEN_TAGS
    if max(len(sample.completion), sum(len(message.content) for message in sample.messages)) > MAX_CHARACTERS:
        return Fault.TOO_LONG
    instructed = explicit_instruction(sample.question)
    if instructed is not (sample.mode if sample.mode_from == "instruction" else None):
        return Fault.CONTRADICTS_INSTRUCTION
    if not is_right(sample, sample.answer, run_tests):
        return Fault.WRONG_ANSWER
    return None


def _reads_back(sample: Sample) -> bool:
    turn = read_turn(sample.completion)
    return turn.well_formed and (turn.mode, turn.judgement, turn.thought, turn.answer) == (
        sample.mode,
        sample.judgement,
        sample.thought,
        sample.answer,
    )
