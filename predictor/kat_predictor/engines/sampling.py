"""Drawing the next token of every row of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from kat_predictor.engines.base import Sampling

_NUCLEUS = 256
"""Likeliest tokens that are sorted at first: nearly every nucleus fits, and sorting a vocabulary takes milliseconds."""


class Draw:
    """How one row draws: its sampling settings and its own stream of random numbers.

    Every token of the vocabulary gets a number of its own at each draw (an exponential race, which the likeliest token
    wins most often), so that a seed draws the same whatever else is in the batch: rounding that depends on the batch
    matters only where it decides between two leaders, while it would shift every boundary of a cumulative sum. The
    numbers come from the CPU's generator on every device.
    """

    def __init__(self, sampling: Sampling, device: torch.device) -> None:
        self.temperature = sampling.temperature
        self.top_p = sampling.top_p
        self.random = torch.Generator()
        if sampling.seed is None:
            self.random.seed()
        else:
            self.random.manual_seed(sampling.seed % 2**64)
        self.bias = None
        if sampling.logit_bias:
            ids = torch.tensor(list(sampling.logit_bias), device=device)
            self.bias = ids, torch.tensor(list(sampling.logit_bias.values()), dtype=torch.float32, device=device)
        self.allowed = None
        if sampling.allowed_token_ids is not None:
            self.allowed = torch.tensor(sampling.allowed_token_ids, device=device)


def draw_tokens(logits: torch.Tensor, draws: Sequence[Draw]) -> list[int]:
    """One token id per row.

    Args:
        logits: float32, [rows, vocabulary]; not changed.
        draws: one per row.
    """
    logits = _restrict(logits, draws)
    tokens = logits.argmax(-1)
    nucleus = [row for row, draw in enumerate(draws) if draw.temperature > 0 and draw.top_p < 1]
    whole = [row for row, draw in enumerate(draws) if draw.temperature > 0 and draw.top_p >= 1]
    for rows, sample in ((whole, _sample), (nucleus, _sample_nucleus)):
        if not rows:
            continue
        device = logits.device
        chosen = [draws[row] for row in rows]
        temperature = torch.tensor([draw.temperature for draw in chosen], device=device)[:, None]
        # Shifted first: a tiny temperature would otherwise turn large logits into infinities.
        hot = logits[rows]
        probabilities = torch.softmax((hot - hot.amax(-1, keepdim=True)) / temperature, -1)
        noise = torch.empty(hot.shape)
        for lane, draw in zip(noise, chosen, strict=True):
            lane.uniform_(generator=draw.random)
        top_p = torch.tensor([draw.top_p for draw in chosen], dtype=torch.float64, device=device)[:, None]
        tokens[rows] = sample(probabilities, noise.log_().neg_().to(device), top_p)
    return tokens.tolist()


def _restrict(logits: torch.Tensor, draws: Sequence[Draw]) -> torch.Tensor:
    if all(draw.bias is None and draw.allowed is None for draw in draws):
        return logits
    logits = logits.clone()
    for row, draw in zip(logits, draws, strict=True):
        if draw.bias is not None:
            ids, values = draw.bias
            row.index_add_(0, ids, values)
        if draw.allowed is not None:
            kept = row[draw.allowed]
            row.fill_(-torch.inf)
            row[draw.allowed] = kept
    return logits


def _sample(probabilities: torch.Tensor, noise: torch.Tensor, _top_p: torch.Tensor) -> torch.Tensor:
    return (probabilities / noise).argmax(-1)


def _sample_nucleus(
    probabilities: torch.Tensor, noise: torch.Tensor, top_p: torch.Tensor, size: int = _NUCLEUS
) -> torch.Tensor:
    everything = probabilities.shape[-1]
    size = min(size, everything)
    likeliest, ids = probabilities.topk(size, dim=-1)
    cumulative = likeliest.cumsum(-1, dtype=torch.float64)
    outside = cumulative - likeliest >= top_p
    outside[:, 0] = False
    winners = (likeliest / noise.gather(-1, ids)).masked_fill_(outside, 0).argmax(-1, keepdim=True)
    picked = ids.gather(-1, winners)[:, 0]
    short = (cumulative[:, -1] < top_p[:, 0]).nonzero()[:, 0]
    if size < everything and len(short):
        picked[short] = _sample_nucleus(probabilities[short], noise[short], top_p[short], everything)
    return picked


@dataclass(frozen=True, slots=True)
class RawLogprobs:
    """A row's log-probabilities: of its token, and of the likeliest ones."""

    chosen: float
    top_ids: list[int]
    top_values: list[float]


def raw_logprobs(logits: torch.Tensor, tokens: Sequence[int], tops: Sequence[int | None]) -> dict[int, RawLogprobs]:
    """Log-probabilities under the model itself, by row, for the rows that ask for them.

    Args:
        logits: float32, [rows, vocabulary], as the model gave them.
        tokens: the token drawn, per row.
        tops: alternatives wanted, per row; None wants nothing.
    """
    rows = [row for row, top in enumerate(tops) if top is not None]
    if not rows:
        return {}
    logprobs = torch.log_softmax(logits[rows], -1)
    drawn = torch.tensor([tokens[row] for row in rows], device=logits.device)[:, None]
    chosen = logprobs.gather(-1, drawn)[:, 0].tolist()
    most = min(max(top or 0 for top in tops), logits.shape[-1])
    values, ids = (part.tolist() for part in logprobs.topk(most, dim=-1))
    return {
        row: RawLogprobs(chosen[i], ids[i][: tops[row] or 0], values[i][: tops[row] or 0]) for i, row in enumerate(rows)
    }
