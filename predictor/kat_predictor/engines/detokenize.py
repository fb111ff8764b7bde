"""Token ids to text, piece by piece."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_CONTROL_TOKEN = re.compile(r"<\|.*\|>")


class Vocabulary:
    """A tokenizer's way back to text."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stop_ids: frozenset[int]) -> None:
        self._tokenizer = tokenizer
        # The tags of an auto-think model may be special tokens; skipping all special tokens would lose them.
        named = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id}
        control = {
            token_id
            for token_id, token in tokenizer.added_tokens_decoder.items()
            if token.special and _CONTROL_TOKEN.fullmatch(token.content)
        }
        self.silent: frozenset[int] = frozenset(named - {None}) | control | stop_ids
        """Ids without text: the end of a sequence, the marks between turns."""
        self.token_text: Callable[[int], str] = lru_cache(maxsize=4096)(self._token_text)

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of a whole sequence, silent ids included in their written form."""
        text = self._tokenizer.decode(list(token_ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        assert isinstance(text, str)  # noqa: S101 - one sequence in, one text out
        return text

    def _token_text(self, token_id: int) -> str:
        return self.decode([token_id])


class Detokenizer:
    """The text of one growing sequence.

    Each token is decoded with the tokens of the piece before it, for a tokenizer may write a token differently at the
    start of a text, and text is held back while it ends within a character. The work for a token does not depend on
    the length of the sequence.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._before: list[int] = []
        self._before_text = ""
        self._held: list[int] = []

    def feed(self, token_id: int) -> str:
        """The text that this token completes, often empty."""
        if token_id in self._vocabulary.silent:
            return ""
        self._held.append(token_id)
        text = self._vocabulary.decode(self._before + self._held)
        if text.endswith(_REPLACEMENT) or len(text) <= len(self._before_text):
            return ""
        return self._emit(text)

    def finish(self) -> str:
        """What was held back; bytes that make no character become U+FFFD."""
        if not self._held:
            return ""
        return self._emit(self._vocabulary.decode(self._before + self._held))

    def _emit(self, text: str) -> str:
        piece = text[len(self._before_text) :]
        self._before, self._held = self._held, []
        self._before_text = self._vocabulary.decode(self._before)
        return piece
