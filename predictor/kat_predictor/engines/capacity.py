"""How many tokens of keys and values the memory at hand holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from kat_predictor.engines.forward import Forward

_CPU_BYTES = 2 << 30
_CUDA_SHARE = 0.8
"""Of what is free after the weights are loaded; activations need the rest."""


def cache_cells(forward: Forward, max_batch: int, prefix_cache_tokens: int) -> int:
    """Capacity of the key-value cache in tokens, at most what `max_batch` sequences can ever need.

    A GPU gives most of its free memory, and the prefix cache comes out of it; a CPU gives 2 GiB, for what is free there
    belongs to others too.
    """
    if forward.device.type == "cuda":
        free = sum(torch.cuda.mem_get_info(device)[0] for device in range(torch.cuda.device_count()))
        tokens = int(free * _CUDA_SHARE) // forward.cache_bytes_per_token - prefix_cache_tokens
    else:
        tokens = _CPU_BYTES // forward.cache_bytes_per_token
    return max(1, min(tokens, max_batch * forward.max_length))
