"""Cut an answer before the first of the user's stop strings, while it streams."""

from __future__ import annotations

from collections.abc import Sequence


class StopStrings:
    """Finds the stop string that is complete first (the longest of several) and withholds what may become one.

    One Knuth-Morris-Pratt automaton per string: the time a character takes does not depend on the strings' length.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        """Raises ValueError for an empty stop string."""
        if not all(stops):
            raise ValueError("a stop string must not be empty")
        self._automata = [_Automaton(stop) for stop in stops]
        self._withheld = ""
        self.hit = False

    def feed(self, text: str) -> str:
        """The text that is safe to show now."""
        if self.hit:
            return ""
        if not self._automata:
            return text
        text = self._withheld + text
        for at in range(len(self._withheld), len(text)):
            complete = [a.length for a in self._automata if a.step(text[at])]
            if complete:
                self.hit = True
                self._withheld = ""
                return text[: at + 1 - max(complete)]
        safe = len(text) - max(automaton.matched for automaton in self._automata)
        self._withheld = text[safe:]
        return text[:safe]

    def flush(self) -> str:
        """What was withheld: it did not become a stop string."""
        for automaton in self._automata:
            automaton.matched = 0
        text, self._withheld = self._withheld, ""
        return text


class _Automaton:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self.length = len(pattern)
        self.matched = 0
        self._fallback = [0] * len(pattern)
        matched = 0
        for at in range(1, len(pattern)):
            matched = self._advance(matched, pattern[at])
            self._fallback[at] = matched

    def step(self, character: str) -> bool:
        self.matched = self._advance(self.matched, character)
        return self.matched == self.length

    def _advance(self, matched: int, character: str) -> int:
        while matched and self._pattern[matched] != character:
            matched = self._fallback[matched - 1]
        return matched + 1 if self._pattern[matched] == character else 0
