"""What a cold start is asked for. Apart from the training itself, whose libraries take seconds to import."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdStartPlan:
    """How to fine-tune. The defaults are for a model of 135 million parameters on two cores."""

    steps: int = 750
    batch: int = 16
    """Samples a step."""
    rank: int = 16
    learning_rate: float = 8e-4
    warmup: float = 0.05
    """Share of the steps in which the learning rate rises."""
    max_length: int = 256
    """Tokens; longer samples are left out and counted."""
    seed: int = 0
    save_every: int = 100
    """Steps between checkpoints."""
