"""Drawing the next token of every row of a batch."""

from __future__ import annotations

import random
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import torch

from kat_predictor.engines.base import Sampling

_NUCLEUS = 256
"""Likeliest tokens that are looked at first."""
_LEAST_TEMPERATURE = 1e-5
_LOW = 2**32 - 1


class Draw:
    """How one row draws: its sampling settings and its own stream of random numbers, the same on every device."""

    def __init__(self, sampling: Sampling, device: torch.device) -> None:
        self.temperature = sampling.temperature
        self.top_p = sampling.top_p
        self.sample = _take_likeliest if self.temperature <= 0 else _sample if self.top_p >= 1 else _sample_nucleus
        self.random = random.Random(sampling.seed)  # noqa: S311 - sampling, not cryptography
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
    tokens = torch.empty(len(draws), dtype=torch.long, device=logits.device)
    for sample in (_take_likeliest, _sample, _sample_nucleus):
        rows = [row for row, draw in enumerate(draws) if draw.sample is sample]
        if rows:
            part = logits if len(rows) == len(draws) else logits[rows]
            tokens[rows] = sample(part, _Settings([draws[row] for row in rows], logits.device))
    return tokens.tolist()


def _restrict(logits: torch.Tensor, draws: Sequence[Draw]) -> torch.Tensor:
    if all(draw.bias is None and draw.allowed is None for draw in draws):
        return logits
    logits = logits.clone()
    for number, draw in enumerate(draws):
        row = logits[number]
        if draw.bias is not None:
            ids, values = draw.bias
            row.index_add_(0, ids, values)
        if draw.allowed is not None:
            kept = row[draw.allowed]
            row.fill_(-torch.inf)
            row[draw.allowed] = kept
    return logits


class _Settings:
    """Of several rows, each a column: temperature, nucleus, and the random numbers of this draw."""

    def __init__(self, draws: Sequence[Draw], device: torch.device) -> None:
        def column(values: list[float] | list[int]) -> torch.Tensor:
            dtype = torch.long if isinstance(values[0], int) else torch.float64
            return torch.tensor(values, dtype=dtype, device=device)[:, None]

        # A temperature so low that dividing by it overflows is greedy long before.
        self.temperature = column([max(draw.temperature, _LEAST_TEMPERATURE) for draw in draws]).float()
        self.top_p = column([float(draw.top_p) for draw in draws])
        self.coin = column([draw.random.random() for draw in draws])
        self.key = column([draw.random.getrandbits(32) for draw in draws])

    def __getitem__(self, rows: torch.Tensor) -> _Settings:
        part = copy(self)
        for name, values in vars(self).items():
            setattr(part, name, values[rows])
        return part


def _take_likeliest(logits: torch.Tensor, _settings: _Settings) -> torch.Tensor:
    return logits.argmax(-1)


def _sample(logits: torch.Tensor, settings: _Settings) -> torch.Tensor:
    """From the whole vocabulary: from its likeliest tokens as often as they have the probability, else from the rest."""
    probabilities, ids = _likeliest(logits, settings, _NUCLEUS)
    drawn = _race(probabilities, ids, settings.key)
    rest = (settings.coin >= probabilities.sum(-1, keepdim=True, dtype=torch.float64)).nonzero()[:, 0]
    if len(rest) and ids.shape[-1] < logits.shape[-1]:
        others = (logits[rest] / settings.temperature[rest]).softmax(-1).scatter_(-1, ids[rest], 0)
        everything = torch.arange(logits.shape[-1], device=logits.device)[None, :]
        drawn[rest] = _race(others, everything.expand_as(others), settings.key[rest])
    return drawn


def _sample_nucleus(logits: torch.Tensor, settings: _Settings, size: int = _NUCLEUS) -> torch.Tensor:
    """From the fewest tokens whose probabilities reach top_p, looked for among the `size` likeliest."""
    probabilities, ids = _likeliest(logits, settings, size)
    cumulative = probabilities.cumsum(-1, dtype=torch.float64)
    outside = cumulative - probabilities >= settings.top_p
    outside[:, 0] = False
    drawn = _race(probabilities.masked_fill(outside, 0), ids, settings.key)
    cut = (cumulative[:, -1:] < settings.top_p).nonzero()[:, 0]
    if len(cut) and ids.shape[-1] < logits.shape[-1]:
        drawn[cut] = _sample_nucleus(logits[cut], settings[cut], logits.shape[-1])
    return drawn


def _likeliest(logits: torch.Tensor, settings: _Settings, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities and ids of the likeliest tokens, in falling order."""
    total = (logits / settings.temperature).logsumexp(-1, keepdim=True)
    likeliest, ids = logits.topk(min(size, logits.shape[-1]), dim=-1)
    return (likeliest / settings.temperature - total).exp(), ids


def _race(probabilities: torch.Tensor, ids: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Draw one of the ids: the one with the largest ratio of its probability to an exponential random number.

    It wins exactly as often as its probability says. With a cumulative sum instead, rounding that depends on the rest
    of the batch would shift every boundary; here it matters only where two leaders are as good as equal.
    """
    winners = (probabilities / _exponential(ids, keys)).argmax(-1, keepdim=True)
    return ids.gather(-1, winners)[:, 0]


def _exponential(ids: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """One exponential random number for each token, made of its id and its row's key for this draw.

    A generator would have to go through the whole vocabulary for the few tokens that are wanted. The mixing is the
    finaliser of MurmurHash3 (Austin Appleby, public domain), in 64-bit integers of which the lower half counts.
    """
    mixed = (ids * 0x9E3779B1 + keys) & _LOW
    mixed = ((mixed ^ (mixed >> 16)) * 0x85EBCA6B) & _LOW
    mixed = ((mixed ^ (mixed >> 13)) * 0xC2B2AE35) & _LOW
    mixed ^= mixed >> 16
    # In double precision, so that neither end of the open interval is reached.
    return -((mixed + 0.5).double() / 2**32).log()


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
