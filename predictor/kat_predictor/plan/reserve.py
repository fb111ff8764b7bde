"""What vLLM needs on a GPU beside weights and KV cache.

vLLM measures this when it starts: a pass with the largest batch, then a draw for as many sequences as may run at once.
Here it is estimated from the shapes, on the cautious side of what was seen:

- Activations of the pass: two hidden vectors and the three vectors of the feed-forward a token, in 16 bits.
- The draw: 40 bytes a logit. Seen: 34 to 41, in activation peaks at 256 sequences of Llama-3-8B (1.26 GiB;
  github.com/vllm-project/vllm/pull/10511), Qwen2.5-32B (1.26 GiB; github.com/vllm-project/vllm/issues/15815) and a
  Qwen2 of 1.5 B (1.39 GiB; github.com/vllm-project/vllm/issues/12529). Pass and draw follow one another, so that the
  larger counts.
- Outside of PyTorch: CUDA context and kernels, 1 GiB, and as much again for communication between GPUs. Seen: 0.04 GiB
  (12529), 0.3 GiB at two GPUs (15815), and 1.8 at one GPU and 3.6 at two, other programs' share included (10511).
- CUDA graphs: 1 GiB. Seen: 0.73 GiB for 86 graphs (github.com/vllm-project/vllm/pull/39559), 0.66 GiB
  (github.com/vllm-project/vllm/issues/27508). Part of the budget since vLLM 0.21.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kat_predictor.plan.hub_config import HubConfig
from kat_predictor.plan.parts import experts

_GIB: Final = 1024**3
_BYTES_PER_LOGIT: Final = 40
_BYTES_PER_ACTIVATION: Final = 2
_RUNTIME: Final = _GIB
_COMMUNICATION: Final = _GIB
_CUDA_GRAPHS: Final = _GIB


@dataclass(frozen=True, slots=True)
class Reserve:
    """Bytes on each GPU that are neither weights nor KV cache."""

    activations: int
    runtime: int
    cuda_graphs: int

    @property
    def total(self) -> int:
        return self.activations + self.runtime + self.cuda_graphs


def reserve(config: HubConfig, *, gpus: int, batched_tokens: int, sequences: int, cuda_graphs: bool) -> Reserve:
    """Estimate the reserve.

    Args:
        config: The model.
        gpus: Size of tensor parallel.
        batched_tokens: Tokens of one pass, at most (vLLM's `max_num_batched_tokens`).
        sequences: Sequences that run at once, at most (vLLM's `max_num_seqs`).
        cuda_graphs: Whether vLLM captures CUDA graphs (not with `enforce_eager`).
    """
    one_pass = batched_tokens * _activations_per_token(config, gpus) * _BYTES_PER_ACTIVATION
    draw = sequences * config.vocab_size * _BYTES_PER_LOGIT
    return Reserve(
        activations=max(one_pass, draw),
        runtime=_RUNTIME + (_COMMUNICATION if gpus > 1 else 0),
        cuda_graphs=_CUDA_GRAPHS if cuda_graphs else 0,
    )


def _activations_per_token(config: HubConfig, gpus: int) -> int:
    feed_forward = 3 * config.intermediate_size // gpus
    mixture = experts(config)
    if mixture is not None:
        # Each token is copied to each of its experts, and comes back from each as a hidden vector.
        routed = mixture.active * (2 * config.hidden_size + 3 * mixture.intermediate // gpus)
        feed_forward = max(feed_forward, routed + 3 * mixture.shared_intermediate // gpus)
    return 2 * config.hidden_size + feed_forward
