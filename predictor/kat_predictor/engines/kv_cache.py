"""Keys and values of a running batch, written in place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

_FIRST_ROWS = 8
_FIRST_COLUMNS = 512
_COLUMN_STEP = 64


@dataclass(slots=True)
class Window:
    """Where one forward pass reads and writes: rows `first` to `first + rows`, columns up to `width`."""

    first: int
    rows: int
    width: int
    positions: torch.Tensor
    """Column that each new token is written to, [rows, queries]."""
    _indices: dict[tuple[int, int, torch.device], torch.Tensor] = field(default_factory=dict)

    def index(self, heads: int, columns: int, device: torch.device) -> torch.Tensor:
        """Flat positions of the new entries in a [rows, heads, columns] buffer, in the order of [rows, heads, queries].

        The same for every layer of one shape on one device, so it is computed once a pass.
        """
        key = (heads, columns, device)
        if key not in self._indices:
            rows = torch.arange(self.first, self.first + self.rows)
            lanes = (rows[:, None] * heads + torch.arange(heads)[None, :]) * columns
            self._indices[key] = (lanes[:, :, None] + self.positions[:, None, :]).reshape(-1).to(device)
        return self._indices[key]


class SlotLayer(CacheLayerMixin):  # type: ignore[no-untyped-call] # not typed there
    """One layer's keys and values, [rows, heads, columns, width of a head], allocated ahead.

    A cache that concatenates copies everything it holds at each step, which costs more than the matrix products of a
    small model. This one writes the new columns and hands out views.
    """

    is_sliding = False

    def __init__(self, owner: SlotCache) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # not typed there
        self.owner = owner

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.keys = _empty(key_states, self.owner.rows, self.owner.columns)
        self.values = _empty(value_states, self.owner.rows, self.owner.columns)
        self.is_initialized = True

    def buffers(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values. Raises RuntimeError before the first pass."""
        if self.keys is None or self.values is None:
            raise RuntimeError("the layer holds nothing yet")
        return self.keys, self.values

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_args: Any, **_kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        window = self.owner.window
        rows = slice(window.first, window.first + window.rows)
        keys, values = self.buffers()
        index = window.index(keys.shape[1], keys.shape[2], keys.device)
        for buffer, states in ((keys, key_states), (values, value_states)):
            buffer.view(-1, buffer.shape[3]).index_copy_(0, index, states.reshape(-1, buffer.shape[3]))
        return keys[rows, :, : window.width], values[rows, :, : window.width]

    def resize(self, rows: int, columns: int, *, kept_rows: int, kept_columns: int) -> None:
        """Move into buffers of another size; what lies outside the kept part is dropped."""
        if not self.is_initialized:
            return
        # One after the other, so that at most one buffer exists twice.
        for name in ("keys", "values"):
            old = getattr(self, name)
            new = _empty(old, rows, columns)
            kept = old[:kept_rows, :, :kept_columns]
            new[: kept.shape[0], :, : kept.shape[2]] = kept
            setattr(self, name, new)

    def release(self) -> None:
        self.keys = self.values = None
        self.is_initialized = False

    def copy_row(self, source: int, target: int, length: int) -> None:
        for buffer in self.buffers():
            buffer[target, :, :length] = buffer[source, :, :length]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:  # noqa: ARG002 - the library's signature
        return self.owner.window.width, 0

    def get_seq_length(self) -> int:
        return self.owner.window.width

    def get_max_length(self) -> int:
        return -1


def _empty(like: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    # Zeros, for what a mask hides is multiplied by nought, and nought times a stray NaN is NaN.
    return torch.zeros((rows, like.shape[1], columns, like.shape[3]), dtype=like.dtype, device=like.device)


class SlotCache(Cache):
    """Rows of keys and values, left-aligned: token i of a row is in column i, so that rows of any length can meet.

    Args:
        layers: of the model.
        max_rows: rows at most.
        max_cells: rows times columns at most, which bounds the memory.
    """

    def __init__(self, layers: int, *, max_rows: int, max_cells: int) -> None:
        self.rows = 0
        self.columns = 0
        self.window = Window(0, 0, 0, torch.empty(0, 0, dtype=torch.long))
        self._max_rows = max_rows
        self._max_cells = max_cells
        self.slots = [SlotLayer(self) for _ in range(layers)]
        super().__init__(layers=list(self.slots))

    def ensure(self, rows: int, width: int, *, kept_rows: int, kept_width: int) -> None:
        """Make room for `rows` rows of `width` columns; the first `kept_rows` keep their first `kept_width` columns."""
        if rows <= self.rows and width <= self.columns:
            return
        new_rows, new_columns = self.rows, self.columns
        if rows > new_rows:
            new_rows = min(max(rows, 2 * self.rows, _FIRST_ROWS), max(self._max_rows, rows))
        if width > new_columns:
            grown = max(width, self.columns + self.columns // 2, _FIRST_COLUMNS)
            new_columns = -(-grown // _COLUMN_STEP) * _COLUMN_STEP
        if new_rows * new_columns > self._max_cells:
            # Growing ahead is a convenience; the bound is not.
            new_rows = rows
            new_columns = max(width, min(new_columns, self._max_cells // rows))
        for slot in self.slots:
            slot.resize(new_rows, new_columns, kept_rows=kept_rows, kept_columns=kept_width)
        # Last: where memory runs out midway, the next call tries again.
        self.rows, self.columns = new_rows, new_columns

    def shrink(self) -> None:
        """Give memory beyond the first allocation back. Nothing is kept."""
        if self.rows > _FIRST_ROWS or self.columns > _FIRST_COLUMNS:
            self.rows = self.columns = 0
            for slot in self.slots:
                slot.release()

    def move_row(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` columns of a row over another."""
        for slot in self.slots:
            slot.copy_row(source, target, length)
