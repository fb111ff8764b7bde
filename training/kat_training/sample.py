"""One sample of a corpus: a conversation, and the turn that the model is to learn, in KAT's grammar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from kat.usage_event import Mode, Segment
from kat_predictor.autothink.grammar import ANSWER_BEGINS, ANSWER_CLOSE, THINK_CLOSE, prefill
from kat_predictor.autothink.instruction_rule import Decided
from kat_predictor.autothink.parser import Parser

Language = Literal["en", "zh"]
Split = Literal["train", "held_out"]
Difficulty = Literal["easy", "medium", "hard"]
Check = Literal["text", "number", "list", "keyword", "code"]
"""How an answer is compared with its reference: see `checks`."""
ModeFrom = Literal["prior", "instruction", "vote"]
"""Who set a sample's mode: its template or teacher, the words of its question, or the majority vote."""

NATURAL_JUDGEMENT: Final[dict[tuple[Language, Mode], str]] = {
    ("en", Mode.ON): "Several steps.",
    ("en", Mode.OFF): "A simple question.",
    ("zh", Mode.ON): "要想几步。",
    ("zh", Mode.OFF): "很简单。",
}
"""The judge sentence where a mode was set by something that gave no sentence of its own."""


@dataclass(frozen=True, slots=True)
class Message:
    """A turn of the conversation, as OpenAI's API has it."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A question in its conversation, what to answer, and the mode that is due."""

    id: str
    split: Split
    template: str
    """No template is in both splits."""
    family: str
    kind: str
    language: Language
    difficulty: Difficulty
    mode: Decided
    mode_from: ModeFrom
    messages: tuple[Message, ...]
    """The last one is the user's question; earlier assistant turns are cut to their answers."""
    judgement: str
    working: str
    """A short solution in steps; kept where the mode is off, too, for a vote may turn it on."""
    answer: str
    check: Check
    accepted: tuple[str, ...] = ()
    """Other answers that are as good; for `keyword` any one of these words."""
    tests: tuple[str, ...] = ()
    """For `code`: Python expressions that are true once the answer has been executed."""
    dialogue: str | None = None
    """What the turns of one agent dialogue share."""

    @property
    def question(self) -> str:
        return self.messages[-1].content

    @property
    def thought(self) -> str:
        """What stands in the think segment: nothing where thinking is off."""
        return self.working if self.mode is Mode.ON else ""

    @property
    def completion(self) -> str:
        """The turn to learn, behind a prompt that ends with `<judge>` and a newline, as KAT's own does."""
        opening = prefill(self.mode, self.judgement, judge_is_open=True)
        thought = f"{self.thought}\n{THINK_CLOSE}\n\n{ANSWER_BEGINS}" if self.mode is Mode.ON else ""
        return f"{opening}{thought}{self.answer}\n{ANSWER_CLOSE}"


@dataclass(frozen=True, slots=True)
class Turn:
    """A generated turn, taken apart."""

    mode: Mode
    judgement: str
    thought: str
    answer: str
    well_formed: bool
    """The mode tag, the segments and the closing of the answer are all there, in their order."""


def read_turn(completion: str) -> Turn:
    """Take a turn apart by the predictor's own parser. What cannot be classified is answer."""
    parser = Parser(Segment.JUDGE)
    deltas = parser.feed(completion, 0)
    ended = parser.answer_ended
    deltas += parser.finish()
    texts = {
        segment: "".join(delta.text for delta in deltas if delta.segment is segment)
        for segment in (Segment.JUDGE, Segment.THINK, Segment.ANSWER)
    }
    mode, judgement, thought, answer = parser.mode, texts[Segment.JUDGE], texts[Segment.THINK], texts[Segment.ANSWER]
    return Turn(
        mode, judgement, thought, answer, ended and completion.strip() == _written(mode, judgement, thought, answer)
    )


def _written(mode: Mode, judgement: str, thought: str, answer: str) -> str:
    """The turn as it has to look, byte for byte, to be read as this."""
    if mode is Mode.UNDECIDED or not judgement or not answer or bool(thought) is not (mode is Mode.ON):
        return ""
    opening = prefill(mode, judgement, judge_is_open=True)
    middle = f"{thought}\n{THINK_CLOSE}\n\n{ANSWER_BEGINS}" if thought else ""
    return f"{opening}{middle}{answer}\n{ANSWER_CLOSE}"
