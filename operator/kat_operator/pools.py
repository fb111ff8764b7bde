"""How many of a service's replicas each pool gets. Pure.

Pools are filled in the order in which they are listed. A replica that runs stays where it is: moving it to a better pool
would cost its start for nothing that a user sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PoolCapacity:
    """A pool at one moment."""

    name: str
    replicas: int
    """Replicas asked for now."""
    ceiling: int
    """Replicas that its nodes can hold, those that run included."""


def distribute(wanted: int, pools: Sequence[PoolCapacity]) -> dict[str, int]:
    """Replicas to ask of each pool.

    Nothing is asked beyond a pool's ceiling, so that no pods pile up that cannot be scheduled: where a pool has shrunk
    below what was asked of it, the rest goes to the others. So fewer than wanted may come out.

    Args:
        wanted: replicas over all pools, at least 0.
        pools: best pool first.

    Returns:
        One entry a pool, in their order.

    Raises:
        ValueError: `wanted` is negative, or two pools have one name.
    """
    if wanted < 0:
        raise ValueError(f"{wanted} replicas are wanted")
    shares = {pool.name: min(pool.replicas, pool.ceiling) for pool in pools}
    if len(shares) != len(pools):
        raise ValueError("two pools have one name")
    missing = wanted - sum(shares.values())
    for pool in pools:
        added = min(max(missing, 0), pool.ceiling - shares[pool.name])
        shares[pool.name] += added
        missing -= added
    for pool in reversed(pools):
        taken = min(max(-missing, 0), shares[pool.name])
        shares[pool.name] -= taken
        missing += taken
    return shares
