"""One forward pass of a causal language model over a window of a batch's cache."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from kat_predictor.engines.kv_cache import SlotCache, Window

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Forward:
    """Calls the model with masks and positions of our own making.

    Raises ValueError for a model whose layers do anything but attend to the whole sequence: its state could not be
    cut and joined by rows.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        config = model.config.get_text_config()
        kinds = set(getattr(config, "layer_types", None) or ["full_attention"]) - {"full_attention"}
        if kinds - {"sliding_attention"}:
            raise ValueError(f"the model has layers of kind {', '.join(sorted(kinds))}, which this engine cannot batch")
        self._model = model
        self.layers: int = config.num_hidden_layers
        untyped: Any = model
        embedding: torch.Tensor = untyped.get_input_embeddings().weight
        head: torch.Tensor = untyped.get_output_embeddings().weight
        self.vocabulary = min(embedding.shape[0], head.shape[0])
        self.device = embedding.device
        self.cache_bytes_per_token = _cache_bytes_per_token(config, model.dtype)
        self.max_length: int = config.max_position_embeddings
        if "sliding_attention" in kinds or getattr(config, "sliding_window", None):
            # Within its window a sliding layer is a full one.
            self.max_length = min(self.max_length, config.sliding_window or self.max_length)
        parameters = inspect.signature(type(model).forward).parameters
        # Renamed in transformers 5.2x; the old name is deprecated there.
        self._cache_argument = "cache" if "cache" in parameters else "past_key_values"

    def __call__(
        self, cache: SlotCache, first: int, starts: Sequence[int], tokens: Sequence[Sequence[int]]
    ) -> torch.Tensor:
        """Compute new tokens of consecutive rows.

        Args:
            cache: holds the rows' earlier tokens, and gets the new ones.
            first: the first of the rows.
            starts: per row, the tokens it has already.
            tokens: per row, its new tokens; shorter rows are padded within the pass.

        Returns:
            Logits behind each row's last new token, float32, [rows, vocabulary].
        """
        rows = len(tokens)
        queries = max(map(len, tokens))
        ids = torch.tensor([[*row, *[row[-1]] * (queries - len(row))] for row in tokens])
        columns = torch.tensor(starts)[:, None] + torch.arange(queries)
        lasts = torch.tensor([len(row) - 1 for row in tokens])
        # Padding is written behind its row, where the row's next tokens will be; its position is the last real one's,
        # for some position encodings depend on the largest position in a pass.
        positions = torch.minimum(columns, columns.gather(1, lasts[:, None]))
        width = int(columns[:, -1].max()) + 1
        visible = torch.arange(width)[None, None, :] <= columns[:, :, None]
        mask = torch.zeros(visible.shape, dtype=self._model.dtype).masked_fill_(~visible, -torch.inf)[:, None]
        kept, which = torch.unique(lasts, return_inverse=True)
        cache.window = Window(first, rows, width, columns)
        arguments: dict[str, Any] = {self._cache_argument: cache}
        logits: torch.Tensor = self._model(
            input_ids=ids.to(self.device),
            attention_mask=mask.to(self.device),
            position_ids=positions.to(self.device),
            use_cache=True,
            logits_to_keep=kept.to(self.device),
            **arguments,
        ).logits
        return logits[torch.arange(rows), which.to(logits.device)].float()


def _cache_bytes_per_token(config: Any, dtype: torch.dtype) -> int:
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * width * dtype.itemsize)
