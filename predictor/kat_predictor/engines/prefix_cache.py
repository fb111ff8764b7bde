"""Keys and values of recent sequences, kept by prefix, so that a prompt that continues one is not computed again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from kat_predictor.engines.kv_cache import SlotCache

BLOCK_TOKENS = 16
"""Sequences are kept and found again in whole blocks of this many tokens."""


@dataclass(eq=False, slots=True)
class _Block:
    tokens: tuple[int, ...]
    parent: _Block | None
    place: int
    children: dict[tuple[int, ...], _Block] = field(default_factory=dict)


class PrefixIndex:
    """Which block of which sequence lies at which place: a radix tree, the least recently used leaf going first."""

    def __init__(self, places: int) -> None:
        self._root = _Block((), None, -1)
        self._free = list(range(places - 1, -1, -1))
        # A block stands behind all its descendants, always, so the first entry is a leaf.
        self._recent: OrderedDict[_Block, None] = OrderedDict()

    def find(self, tokens: Sequence[int]) -> list[int]:
        """Places of the longest kept prefix, in order."""
        path = self._walk(tokens)
        self._touch(path)
        return [block.place for block in path]

    def add(self, tokens: Sequence[int]) -> list[tuple[int, int]]:
        """Keep a sequence. Returns (number of the block in the sequence, its place) for each block not yet held."""
        path = self._walk(tokens)
        self._touch(path)
        held = len(path)
        used = set(path)
        added: list[tuple[int, int]] = []
        for number in range(held, len(tokens) // BLOCK_TOKENS):
            place = self._take_place(used)
            if place is None:
                break
            parent = path[-1] if path else self._root
            block = _Block(_block_of(tokens, number), parent, place)
            parent.children[block.tokens] = block
            self._recent[block] = None
            path.append(block)
            used.add(block)
            added.append((number, place))
        self._touch(path)
        return added

    def __len__(self) -> int:
        return len(self._recent)

    def _walk(self, tokens: Sequence[int]) -> list[_Block]:
        path: list[_Block] = []
        block = self._root
        for number in range(len(tokens) // BLOCK_TOKENS):
            child = block.children.get(_block_of(tokens, number))
            if child is None:
                break
            path.append(child)
            block = child
        return path

    def _touch(self, path: Sequence[_Block]) -> None:
        for block in reversed(path):
            self._recent.move_to_end(block)

    def _take_place(self, used: set[_Block]) -> int | None:
        if self._free:
            return self._free.pop()
        if not self._recent:
            return None
        oldest = next(iter(self._recent))
        if oldest in used:
            return None
        del self._recent[oldest]
        if oldest.parent is not None:
            del oldest.parent.children[oldest.tokens]
        return oldest.place


def _block_of(tokens: Sequence[int], number: int) -> tuple[int, ...]:
    return tuple(tokens[number * BLOCK_TOKENS : (number + 1) * BLOCK_TOKENS])


class PrefixCache:
    """Copies whole blocks between the rows of a running batch and a pool of `capacity_tokens` tokens per layer."""

    def __init__(self, cache: SlotCache, *, capacity_tokens: int) -> None:
        self._cache = cache
        self._places = capacity_tokens // BLOCK_TOKENS
        self.clear()

    def clear(self) -> None:
        self._index = PrefixIndex(self._places)
        self._pools: list[tuple[torch.Tensor, torch.Tensor]] = []

    def find(self, tokens: Sequence[int]) -> list[int]:
        """Places of the longest kept prefix of `tokens` that leaves at least one token to compute."""
        return self._index.find(tokens[:-1])

    def load(self, places: Sequence[int], row: int) -> None:
        """Copy the blocks at `places` to the start of a row."""
        length = len(places) * BLOCK_TOKENS
        index = torch.tensor(places)
        for slot, pools in zip(self._cache.slots, self._pools, strict=True):
            if not slot.is_initialized:
                slot.lazy_initialization(*pools)
            for buffer, pool in zip(slot.buffers(), pools, strict=True):
                blocks = pool.index_select(0, index.to(pool.device))
                buffer[row, :, :length] = blocks.transpose(0, 1).reshape(pool.shape[1], length, pool.shape[3])

    def store(self, tokens: Sequence[int], row: int) -> None:
        """Keep the first `len(tokens)` columns of a row, whole blocks of it."""
        added = self._index.add(tokens)
        if not added:
            return
        if not self._pools:
            self._pools = [(self._new_pool(keys), self._new_pool(values)) for keys, values in self._buffers()]
        start = added[0][0] * BLOCK_TOKENS
        length = len(added) * BLOCK_TOKENS
        index = torch.tensor([place for _, place in added])
        for buffers, pools in zip(self._buffers(), self._pools, strict=True):
            for buffer, pool in zip(buffers, pools, strict=True):
                columns = buffer[row, :, start : start + length]
                blocks = columns.reshape(pool.shape[1], len(added), BLOCK_TOKENS, pool.shape[3]).transpose(0, 1)
                pool.index_copy_(0, index.to(pool.device), blocks)

    def _buffers(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        return [slot.buffers() for slot in self._cache.slots]

    def _new_pool(self, like: torch.Tensor) -> torch.Tensor:
        shape = (self._places, like.shape[1], BLOCK_TOKENS, like.shape[3])
        return torch.empty(shape, dtype=like.dtype, device=like.device)
