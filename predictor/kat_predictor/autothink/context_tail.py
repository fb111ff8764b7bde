"""The last of what a call generated, kept so that a context can be cut at a character instead of at a token.

Where a text is to be cut, a token may lie on both sides of the cut, or hold the first bytes of a character that was
never completed. So whole chunks are taken back, from a place where a character surely begins, and the part of their
text that stays is written anew.
"""

from __future__ import annotations


class ContextTail:
    """Chunks back to a place where a character begins: the call's start, or a chunk whose text begins in ASCII.

    Anything else may be completed by a chunk's first token, or be what became of bytes that never made a character.
    """

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._tokens = 0

    @property
    def text(self) -> str:
        return "".join(self._texts)

    @property
    def tokens(self) -> int:
        """Tokens generated since that place."""
        return self._tokens

    def add(self, text: str, tokens: int, *, continues: bool) -> None:
        """Take in a chunk.

        Args:
            text: The chunk's text.
            tokens: The chunk's tokens.
            continues: A cut may still fall into what came before.
        """
        if text and text[0].isascii() and not continues:
            self._texts, self._tokens = [], 0
        self._texts.append(text)
        self._tokens += tokens
