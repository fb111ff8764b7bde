"""Which segment a token belongs to, when tokens and segments do not end at the same characters.

A piece is text that arrived together with some tokens. Its tokens go to the segments of its characters in proportion
(largest remainder; ties to the segment that came first), so that a single token goes to the segment which holds most
of it. A token without text (a part of a character) joins the next piece that has text. A token is therefore known
only when the last character of its piece is classified, while text is handed on at once: a delta may carry text and
no token yet, or tokens of text that left before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from kat.usage_event import Segment

_UNMARKED = object()


class Delta(NamedTuple):
    """A stretch of text of one segment: JUDGE, THINK, ANSWER or CONTROL.

    A tuple, as all that is made once a token: a frozen dataclass takes more than twice as long to make.
    """

    segment: Segment
    text: str
    """May be empty: then the delta only credits tokens."""
    tokens: int
    marks: tuple[object, ...] = ()
    """What was fed beside each token credited here, such as its log-probability."""


@dataclass(slots=True)
class _Piece:
    text: str
    marks: list[object]
    shown: bool
    classified: int = 0
    shares: dict[Segment, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Draft:
    segment: Segment
    texts: list[str] = field(default_factory=list)
    marks: list[object] = field(default_factory=list)


class Attribution:
    """Takes pieces in, and the segments of their characters in the same order; gives deltas out."""

    def __init__(self) -> None:
        self._pieces: deque[_Piece] = deque()
        self._textless: list[object] = []
        self._drafts: list[_Draft] = []

    @property
    def pending_tokens(self) -> int:
        """Tokens that were added and are in no delta yet."""
        return len(self._textless) + sum(len(piece.marks) for piece in self._pieces)

    def add(self, text: str, tokens: int, marks: Sequence[object] = (), *, shown: bool = True) -> None:
        """Append a piece. Text that is not `shown` takes part in the grammar and is in no delta.

        Raises:
            ValueError: There are marks, and not one for each token.
        """
        if marks and len(marks) != tokens:
            raise ValueError(f"{len(marks)} marks for {tokens} tokens")
        arrived = list(marks) if marks else [_UNMARKED] * tokens
        if not text:
            self._textless += arrived
            return
        self._pieces.append(_Piece(text, [*self._textless, *arrived], shown))
        self._textless = []

    def classify(self, segment: Segment, characters: int) -> None:
        """Say which segment the next characters belong to."""
        while characters:
            piece = self._pieces[0]
            start = piece.classified
            stretch = piece.text[start : start + characters]
            if piece.shown:
                self._draft(segment).texts.append(stretch)
            piece.shares[segment] = piece.shares.get(segment, 0) + len(stretch)
            piece.classified += len(stretch)
            characters -= len(stretch)
            if piece.classified == len(piece.text):
                self._pieces.popleft()
                self._credit(piece)

    def piece(self, segment: Segment, text: str, tokens: int, marks: Sequence[object] = ()) -> list[Delta]:
        """Append a piece that is of one segment, and give out what became known with it.

        Raises:
            ValueError: There are marks, and not one for each token.
        """
        if text and not marks and not (self._pieces or self._textless or self._drafts):
            return [Delta(segment, text, tokens)]  # as nearly every piece is; the rest comes to the same
        self.add(text, tokens, marks)
        self.classify(segment, len(text))
        return self.take()

    def settle(self) -> None:
        """Credit tokens whose text will not come to CONTROL: the end-of-sequence token is one of them."""
        if self._textless:
            self._draft(Segment.CONTROL).marks += self._textless
            self._textless = []

    def take(self) -> list[Delta]:
        """What became known since the last call."""
        drafts, self._drafts = self._drafts, []
        return [
            Delta(
                draft.segment,
                "".join(draft.texts),
                len(draft.marks),
                tuple(mark for mark in draft.marks if mark is not _UNMARKED),
            )
            for draft in drafts
        ]

    def _credit(self, piece: _Piece) -> None:
        remaining = iter(piece.marks)
        for segment, count in _apportion(len(piece.marks), piece.shares).items():
            if count:
                marks = [next(remaining) for _ in range(count)]
                self._latest(segment).marks += marks

    def _draft(self, segment: Segment) -> _Draft:
        if not self._drafts or self._drafts[-1].segment is not segment:
            self._drafts.append(_Draft(segment))
        return self._drafts[-1]

    def _latest(self, segment: Segment) -> _Draft:
        for draft in reversed(self._drafts):
            if draft.segment is segment:
                return draft
        return self._draft(segment)


def _apportion(tokens: int, shares: dict[Segment, int]) -> dict[Segment, int]:
    """Tokens by segment, in proportion to characters: Hamilton's method, in integers."""
    if len(shares) == 1:
        return dict.fromkeys(shares, tokens)
    total = sum(shares.values())
    counts = {segment: tokens * share // total for segment, share in shares.items()}
    left = tokens - sum(counts.values())
    by_remainder = sorted(shares, key=lambda segment: -(tokens * shares[segment] % total))  # stable: ties keep order
    for segment in by_remainder[:left]:
        counts[segment] += 1
    return counts
