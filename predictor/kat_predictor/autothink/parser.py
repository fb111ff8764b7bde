"""Split a stream of text into the segments of the grammar, with tags cut anywhere, losing nothing.

Rules:
- A closing tag ends its own segment wherever it stands. A segment that was not closed also ends at the opening of a
  later one, but only where that tag starts a line: a thought may well speak about tags.
- Inside the answer only `</answer>` counts; every other tag there is text. After `</answer>`, more text is answer.
- Tags, one newline after an opening tag, one newline before a tag that ends a segment, and white space between
  segments are CONTROL.
- `<think>` without a mode tag means on; an answer, or any text after the judge, without a mode tag means off.
- What cannot be classified is answer text. The one exception is a stream that is cut inside an expected tag.
- Where the answer is to be generated apart, the parser stops at the place where it would begin: what came past that
  place is CONTROL.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum, auto
from typing import Final

from kat.usage_event import Mode, Segment
from kat_predictor.autothink.attribution import Attribution, Delta
from kat_predictor.autothink.grammar import (
    ANSWER_BEGINS,
    ANSWER_CLOSE,
    ANSWER_OPEN,
    JUDGE_CLOSE,
    JUDGE_OPEN,
    THINK_CLOSE,
    THINK_OFF,
    THINK_ON,
    THINK_OPEN,
)

__all__ = ["Delta", "Parser"]


class _At(Enum):
    """Where the stream stands."""

    JUDGE = auto()
    AFTER_JUDGE = auto()
    AFTER_MODE = auto()
    THINK = auto()
    AFTER_THINK = auto()
    ANSWER = auto()
    AFTER_ANSWER = auto()


_SEGMENT: Final = {_At.JUDGE: Segment.JUDGE, _At.THINK: Segment.THINK, _At.ANSWER: Segment.ANSWER}

_TAGS: Final[dict[_At, dict[str, _At]]] = {
    _At.JUDGE: {
        JUDGE_CLOSE: _At.AFTER_JUDGE,
        THINK_ON: _At.AFTER_MODE,
        THINK_OFF: _At.AFTER_MODE,
        THINK_OPEN: _At.THINK,
        ANSWER_OPEN: _At.ANSWER,
    },
    _At.AFTER_JUDGE: {
        JUDGE_CLOSE: _At.AFTER_JUDGE,
        THINK_ON: _At.AFTER_MODE,
        THINK_OFF: _At.AFTER_MODE,
        THINK_OPEN: _At.THINK,
        ANSWER_OPEN: _At.ANSWER,
    },
    _At.AFTER_MODE: {
        THINK_ON: _At.AFTER_MODE,
        THINK_OFF: _At.AFTER_MODE,
        THINK_OPEN: _At.THINK,
        THINK_CLOSE: _At.AFTER_THINK,
        ANSWER_OPEN: _At.ANSWER,
    },
    _At.THINK: {THINK_CLOSE: _At.AFTER_THINK, ANSWER_OPEN: _At.ANSWER},
    _At.AFTER_THINK: {THINK_CLOSE: _At.AFTER_THINK, THINK_OPEN: _At.THINK, ANSWER_OPEN: _At.ANSWER},
    _At.ANSWER: {ANSWER_CLOSE: _At.AFTER_ANSWER},
    _At.AFTER_ANSWER: {ANSWER_OPEN: _At.ANSWER, ANSWER_CLOSE: _At.AFTER_ANSWER},
}
"""The tags that count in each place, and where they lead."""

_START: Final = {Segment.JUDGE: _At.JUDGE, Segment.THINK: _At.THINK, Segment.ANSWER: _At.ANSWER}
_OPENING: Final = {_At.JUDGE: JUDGE_OPEN, _At.THINK: THINK_OPEN, _At.ANSWER: ANSWER_OPEN}
_LONGEST_TAG: Final = len(THINK_OFF)
_WHITE_SPACE: Final = re.compile(r"\s*")

_UNDECIDED_TO_ANSWER: Final = f"{THINK_OFF}\n{ANSWER_BEGINS}"
_TO_ANSWER: Final[dict[_At, tuple[str, ...]]] = {
    _At.JUDGE: (f"\n{JUDGE_CLOSE}\n\n{_UNDECIDED_TO_ANSWER}", f"\n{_UNDECIDED_TO_ANSWER}"),
    _At.AFTER_JUDGE: (f"\n\n{_UNDECIDED_TO_ANSWER}",),
    _At.AFTER_MODE: (f"\n{ANSWER_BEGINS}",),
    _At.THINK: (f"\n{THINK_CLOSE}\n\n{ANSWER_BEGINS}", f"\n{ANSWER_BEGINS}"),
    _At.AFTER_THINK: (f"\n\n{ANSWER_BEGINS}",),
    _At.ANSWER: ("",),
    _At.AFTER_ANSWER: ("",),
}


class Parser:
    """One assistant turn, parsed while it is generated.

    Every feed costs time in proportion to what is fed: at most one newline and one unfinished tag are held back and
    looked at again.
    """

    def __init__(self, start: Segment, *, answer_apart: bool = False) -> None:
        """Prepare a parser.

        Args:
            start: Begin inside JUDGE (KAT's own prompt), THINK (forced on) or ANSWER (forced off).
            answer_apart: Read up to the answer only, which a call of its own is to generate.
        """
        self._at = _START[start]
        self._answer_apart = answer_apart
        self._overrun = ""
        self._mode = {_At.THINK: Mode.ON, _At.ANSWER: Mode.OFF}.get(self._at, Mode.UNDECIDED)
        self._attribution = Attribution()
        self._held = ""
        self._untouched = True
        self._drop_newline = False  # the next character, if it is a newline, belongs to the opening tag before it
        self._line_is_blank = True  # nothing but blanks since the last newline of this segment
        self._ended_line = False  # the last character that was classified, up to the answer, was a newline

    @property
    def mode(self) -> Mode:
        """UNDECIDED until a tag, or the lack of one, has told."""
        return self._mode

    @property
    def segment(self) -> Segment:
        """Where the stream stands now; CONTROL between segments."""
        return _SEGMENT.get(self._at, Segment.CONTROL)

    @property
    def answer_begun(self) -> bool:
        return self._at in (_At.ANSWER, _At.AFTER_ANSWER)

    @property
    def answer_ended(self) -> bool:
        """The answer's closing tag was the last thing that came."""
        return self._at is _At.AFTER_ANSWER

    @property
    def answer_due(self) -> bool:
        """The answer is to be generated apart, and its turn has come."""
        return self._answer_apart and (self.answer_begun or bool(self._overrun))

    @property
    def overrun(self) -> str:
        """The text that came past the place where an answer that is generated apart would begin."""
        return self._overrun

    @property
    def holds_text(self) -> bool:
        """The end of what was fed may turn out to be the beginning of a tag."""
        return bool(self._held)

    @property
    def pending_tokens(self) -> int:
        """Tokens that were fed and are in no delta yet."""
        return self._attribution.pending_tokens

    def feed(self, text: str, tokens: int, marks: Sequence[object] = ()) -> list[Delta]:
        """Take in text and the tokens that made it; give out what is certain now.

        Raises:
            ValueError: There are marks, and not one for each token.
        """
        if self._goes_on(text):
            deltas = self._attribution.piece(_SEGMENT[self._at], text, tokens, marks)
            self._pass(text, 0, len(text))
            self._ended_line = False
            return deltas
        self._attribution.add(text, tokens, marks)
        self._scan(text)
        return self._attribution.take()

    def insert(self, text: str) -> list[Delta]:
        """Take in text that the server wrote, in the place of any overrun: it moves the parser and is in no delta."""
        self._overrun = ""
        self._attribution.settle()
        self._attribution.add(text, 0, shown=False)
        self._scan(text)
        return self._attribution.take()

    def way_to_answer(self) -> str:
        """The text that leads from here into the answer, finishing a tag that has begun; empty inside the answer.

        Where the answer is generated apart, "here" is the place before the overrun.
        """
        if self.answer_due and self.answer_begun:
            return "\n" if self._drop_newline else ""
        ways = _TO_ANSWER[self._at]
        if self._held:
            for way in ways:
                for written in (way, way.lstrip("\n")):
                    if written.startswith(self._held):
                        return written.removeprefix(self._held)
        elif self._ended_line and self._at not in _SEGMENT:
            return ways[0].lstrip("\n")
        return ways[0]

    def finish(self) -> list[Delta]:
        """Give out what was held back: the stream has ended."""
        # Between segments only a tag is ever held, and half a tag is not what a user should read as an answer.
        self._attribution.classify(self.segment, len(self._held))
        self._held = ""
        self._attribution.settle()
        return self._attribution.take()

    def _goes_on(self, text: str) -> bool:
        """The text can be nothing but more of the segment that the stream stands in, as most texts are."""
        return (
            bool(text)
            and "<" not in text
            and text[-1] != "\n"
            and self._at in _SEGMENT
            and not (self._held or self._drop_newline or self._answer_apart)
        )

    def _scan(self, text: str) -> None:
        if not text:
            return
        text, self._held = self._held + text, ""
        start = 0
        while start < len(text):
            if self._answer_apart and self.answer_begun:
                start = self._stop_before_answer(text, start)
            else:
                start = self._step_between(text, start) if self._at not in _SEGMENT else self._step_inside(text, start)
        end = len(text) - len(self._held) - len(self._overrun)
        if end:
            self._ended_line = text[end - 1] == "\n"

    def _stop_before_answer(self, text: str, start: int) -> int:
        if self._drop_newline and text[start] == "\n":
            self._drop_newline = False
            self._attribution.classify(Segment.CONTROL, 1)
            return start + 1
        return self._overrun_from(text, start)

    def _overrun_from(self, text: str, start: int) -> int:
        self._overrun += text[start:]
        self._attribution.classify(Segment.CONTROL, len(text) - start)
        return len(text)

    def _step_inside(self, text: str, start: int) -> int:
        """Classify up to a tag or to the end, and say how far the text is dealt with."""
        if self._drop_newline:
            self._drop_newline = False
            if text[start] == "\n":
                self._attribution.classify(Segment.CONTROL, 1)
                return start + 1
        at = text.find("<", start)
        while at >= 0:
            found = self._tag_at(text, at, self._tags_inside(text, start, at))
            if found is not None:
                tag, target = found
                end = at - 1 if at > start and text[at - 1] == "\n" else at
                self._keep(text, start, end)
                if target is None:
                    self._held = text[end:]
                    return len(text)
                self._attribution.classify(Segment.CONTROL, at + len(tag) - end)
                self._enter(tag, target)
                return at + len(tag)
            at = text.find("<", at + 1)
        end = len(text) - 1 if text.endswith("\n") else len(text)
        self._keep(text, start, end)
        self._held = text[end:]
        return len(text)

    def _step_between(self, text: str, start: int) -> int:
        blank = _WHITE_SPACE.match(text, start)
        at = blank.end() if blank else start
        self._attribution.classify(Segment.CONTROL, at - start)
        if at == len(text):
            return at
        found = self._tag_at(text, at, _TAGS[self._at])
        if found is None:
            if self._answer_apart:
                # The server has yet to write the answer's tag, so the answer has not begun.
                return self._overrun_from(text, at)
            self._enter("", _At.ANSWER)
            return at
        tag, target = found
        if target is None:
            self._held = text[at:]
            return len(text)
        self._attribution.classify(Segment.CONTROL, len(tag))
        self._enter(tag, target)
        return at + len(tag)

    def _tags_inside(self, text: str, start: int, at: int) -> dict[str, _At]:
        """The tags that would count at a place inside a segment."""
        tags = _TAGS[self._at]
        if self._untouched and text[start:at] in {"", "\n"}:
            # Models repeat the opening tag that their prompt already ended with.
            return {**tags, _OPENING[self._at]: self._at}
        if self._starts_line(text, start, at):
            return tags
        return {tag: target for tag, target in tags.items() if tag.startswith("</")}

    def _starts_line(self, text: str, start: int, at: int) -> bool:
        before = at - 1
        while before >= start and text[before] in " \t":
            before -= 1
        return self._line_is_blank if before < start else text[before] == "\n"

    @staticmethod
    def _tag_at(text: str, at: int, tags: dict[str, _At]) -> tuple[str, _At | None] | None:
        """The tag at a place and where it leads; no target while it is still unfinished; None where there is none."""
        for tag, target in tags.items():
            if text.startswith(tag, at):
                return tag, target
        if len(text) - at < _LONGEST_TAG:
            rest = text[at:]
            for tag in tags:
                if tag.startswith(rest):
                    return rest, None
        return None

    def _keep(self, text: str, start: int, end: int) -> None:
        """Classify text of the segment that the stream stands in."""
        if end == start:
            return
        self._attribution.classify(_SEGMENT[self._at], end - start)
        self._pass(text, start, end)

    def _pass(self, text: str, start: int, end: int) -> None:
        self._untouched = False
        newline = text.rfind("\n", start, end)
        if newline >= 0:
            self._line_is_blank = True
        self._line_is_blank = self._line_is_blank and not text[max(newline + 1, start) : end].strip(" \t")

    def _enter(self, tag: str, target: _At) -> None:
        self._at = target
        self._untouched = False
        self._line_is_blank = True
        self._drop_newline = bool(tag) and target in _SEGMENT
        if self._mode is Mode.UNDECIDED:
            if tag == THINK_ON or target is _At.THINK:
                self._mode = Mode.ON
            elif tag == THINK_OFF or target is _At.ANSWER:
                self._mode = Mode.OFF
