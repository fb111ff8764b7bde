"""What a run of Step-SRPO is asked for. Apart from the training itself, whose libraries take seconds to import."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random

import orjson

from kat_training.errors import RunError
from kat_training.rewards import DEFAULT_WEIGHTS, RewardWeights
from kat_training.run_folder import RUN


@dataclass(frozen=True, slots=True, kw_only=True)
class RlPlan:
    """How to go on from a cold start. The defaults are for a model of 135 million parameters on two cores.

    Raises:
        ValueError: A figure is out of its range.
    """

    steps: int = 40
    prompts: int = 6
    """Questions a step."""
    group: int = 8
    """Completions that are sampled of each question and compared with each other."""
    learning_rate: float = 5e-5
    warmup: float = 0.05
    """Share of the steps in which the learning rate rises; it stays afterwards."""
    temperature: float = 1.0
    max_prompt: int = 128
    """Tokens; questions with longer prompts are left out and counted."""
    max_completion: int = 192
    """Tokens; a completion that is cut there breaks the grammar."""
    beta: float = 0.0
    """Weight of the distance from the cold start; above 0 each step asks both models."""
    needless: float = DEFAULT_WEIGHTS.needless
    token_cost: float = DEFAULT_WEIGHTS.token_cost
    token_scale: int = DEFAULT_WEIGHTS.token_scale
    seed: int = 0
    save_every: int = 10
    """Steps between checkpoints."""

    def __post_init__(self) -> None:
        if min(self.steps, self.prompts, self.max_prompt, self.max_completion, self.save_every) < 1:
            raise ValueError("steps, prompts, lengths and steps between checkpoints are 1 or more")
        if self.group <= 1:
            raise ValueError("a group needs two completions: one alone has nothing to be compared with")
        if self.learning_rate <= 0 or self.temperature <= 0:
            raise ValueError("the learning rate and the temperature are above 0")
        if not 0 <= self.warmup <= 1 or self.beta < 0:
            raise ValueError("the warm-up is a share of the steps, and beta is not negative")
        _ = self.weights

    @property
    def weights(self) -> RewardWeights:
        return RewardWeights(needless=self.needless, token_cost=self.token_cost, token_scale=self.token_scale)


def asked(questions: int, plan: RlPlan) -> list[int]:
    """The question of each group in the order of the steps: all of them once, in a drawn order, before any again."""
    draw = Random(plan.seed)  # noqa: S311 - no secret
    rounds = range(-(-plan.steps * plan.prompts // questions))
    return [at for _ in rounds for at in draw.sample(range(questions), questions)][: plan.steps * plan.prompts]


def base_of(cold_start: Path) -> str:
    """The base model of a cold start's run folder, for its adapter fits no other.

    Raises:
        RunError: There is no such run, it is another stage's, or it has not ended.
    """
    try:
        run = orjson.loads((cold_start / RUN).read_bytes())
        stage, base = run["asked"]["stage"], str(run["asked"]["base"])
    except FileNotFoundError as error:
        raise RunError(f"there is no run in {cold_start}; `kat train cold-start` makes one") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{cold_start / RUN} is damaged: {error}") from error
    if stage != "cold start":
        raise RunError(f"{cold_start} is no cold start, but: {stage}")
    if "seconds" not in run:
        raise RunError(f"the cold start in {cold_start} was interrupted; the same command goes on with it")
    return base
