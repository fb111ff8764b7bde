"""Questions that are the same, or nearly: the same numbers, the same answer, and nearly the same words."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from typing import Final

from kat_training.sample import Sample

SIMILARITY: Final = 0.8
"""Jaccard similarity of character trigrams from which on two questions are the same one."""

_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?")
_BLANK: Final = re.compile(r"[\W_]+")
_Key = tuple[tuple[str, ...], str]


class Seen:
    """The questions so far. Only those with the same numbers and answer are compared: the rest differ by these."""

    def __init__(self, similarity: float = SIMILARITY) -> None:
        self._similarity = similarity
        self._trigrams: defaultdict[_Key, list[frozenset[str]]] = defaultdict(list)

    def has(self, sample: Sample) -> bool:
        """A question that counts as the same one was added before."""
        key, trigrams = _features(sample)
        return any(_jaccard(trigrams, other) >= self._similarity for other in self._trigrams.get(key, ()))

    def add(self, sample: Sample) -> None:
        key, trigrams = _features(sample)
        self._trigrams[key].append(trigrams)


def _features(sample: Sample) -> tuple[_Key, frozenset[str]]:
    text = unicodedata.normalize("NFKC", "\n".join(message.content for message in sample.messages)).casefold()
    numbers = tuple(sorted(_NUMBER.findall(text)))
    plain = f" {_BLANK.sub(' ', text).strip()} "
    return (numbers, sample.answer.casefold()), frozenset(plain[at : at + 3] for at in range(len(plain) - 2))


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other) if one | other else 1.0
