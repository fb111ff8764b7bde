"""In which order, and how, a new pod template reaches a service's pools. Pure.

One pool rolls at a time. Where its nodes can hold one replica more, the new one is started first and nothing is lost;
elsewhere an old one must go before its successor finds a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Strategy(StrEnum):
    """How a Deployment replaces its pods."""

    SURGE = "surge"
    """A new pod first, then an old one goes."""
    ONE_AT_A_TIME = "one-at-a-time"
    """An old pod goes first, then a new one comes."""

    def to_json(self) -> dict[str, Any]:
        """As apps/v1 DeploymentStrategy."""
        surge, unavailable = (1, 0) if self is Strategy.SURGE else (0, 1)
        return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}


class RolloutReason(StrEnum):
    """What a rollout does, and why so."""

    UP_TO_DATE = "UpToDate"
    SURGING = "Surging"
    NO_CAPACITY_TO_SURGE = "NoCapacityToSurge"


@dataclass(frozen=True, slots=True)
class PoolRollout:
    """A pool, as far as a rollout goes."""

    name: str
    desired: str
    """Hash of the template that the spec makes."""
    applied: str | None
    """Hash of the template that its InferenceService has; None where there is none."""
    strategy: Strategy | None
    """That its InferenceService has."""
    replicas: int
    """Asked for."""
    updated_ready: int
    """Pods of the applied template that serve."""
    outdated: int
    """Pods of any other template that are not on their way out."""
    terminating: int
    """Pods on their way out, which still hold their GPUs."""
    ceiling: int
    """Replicas that its nodes can hold, those that run included."""

    @property
    def stale(self) -> bool:
        """It has a template, and another one is wanted."""
        return self.applied not in {None, self.desired}

    @property
    def populated(self) -> bool:
        """There is something to lose."""
        return self.replicas > 0 or self.outdated > 0

    @property
    def rolling(self) -> bool:
        """Not all of its replicas serve with the template that its InferenceService has."""
        return self.outdated > 0 or (not self.stale and self.updated_ready < self.replicas)


@dataclass(frozen=True, slots=True)
class Rollout:
    """What to do with each pool."""

    strategies: dict[str, Strategy]
    """Of every pool."""
    held: frozenset[str]
    """Pools whose InferenceService is to keep its template for now, because another one rolls."""
    pool: str | None
    """The one that rolls to what the spec wants; None where all have it."""
    reason: RolloutReason
    message: str


def plan_rollout(pools: Sequence[PoolRollout]) -> Rollout:
    """Choose the pool that rolls, and how.

    A pool that is in the middle of a rollout goes on, also to a template that is newer still: a template that never turns
    ready must not keep its own correction waiting.

    Args:
        pools: best pool first.
    """
    stale = [pool for pool in pools if pool.stale and pool.populated]
    rolling = [pool for pool in pools if pool.rolling and pool.applied is not None]
    first = next(iter(rolling or stale), None)
    held = [pool.name for pool in stale if pool is not first and not pool.rolling]
    replaced = first is not None and (first.stale or first.outdated > 0)
    strategies = {pool.name: _strategy(pool, replaced=replaced and pool is first) for pool in pools}
    if first is None or not (replaced or held):
        return Rollout(strategies, frozenset(), None, RolloutReason.UP_TO_DATE, "all replicas have the spec's template")
    reason, message = _explain(first, strategies[first.name])
    if held:
        message += f"; {', '.join(held)} {'waits' if len(held) == 1 else 'wait'}"
    return Rollout(strategies, frozenset(held), first.name, reason, message)


def _strategy(pool: PoolRollout, *, replaced: bool) -> Strategy:
    if not replaced:
        return pool.strategy or Strategy.SURGE
    if pool.strategy is not None and pool.rolling and pool.terminating > 0:
        # While pods are on their way out, what the nodes have left changes from look to look.
        return pool.strategy
    return Strategy.SURGE if pool.ceiling > pool.replicas else Strategy.ONE_AT_A_TIME


def _explain(pool: PoolRollout, strategy: Strategy) -> tuple[RolloutReason, str]:
    done = 0 if pool.stale else pool.updated_ready
    progress = f"{done} of {pool.replicas} replicas of pool {pool.name} have the new template"
    if strategy is Strategy.SURGE:
        return RolloutReason.SURGING, f"{progress}; each comes before an old one goes"
    why = f"{progress}; its nodes cannot hold one more, so an old one goes before each"
    if pool.replicas == 1:
        why += ", and the pool serves nothing meanwhile"
    return RolloutReason.NO_CAPACITY_TO_SURGE, why
