"""What a look at a service says is to be done. Data alone; `applier` does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kat_operator.autoscaler.observation import Decision
from kat_operator.conditions import Transition
from kat_operator.kinds import Key, Kind
from kat_operator.status import AutoThinkServiceStatus


@dataclass(frozen=True, slots=True)
class Scale:
    """A Deployment's new number of replicas."""

    deployment: Key
    replicas: int


@dataclass(frozen=True, slots=True)
class DeletionCost:
    """How gladly Kubernetes lets a pod go; the lowest goes first."""

    pod: Key
    cost: int


@dataclass(frozen=True, slots=True)
class Deletion:
    """That very object, not one that has its name by then."""

    kind: Kind
    key: Key
    uid: str


@dataclass(frozen=True, slots=True)
class Plan:
    """In the order in which it is done: killed between any two steps, the next look comes to the same end.

    The status goes before the scaling, since it says what was asked for: whoever takes over goes on from there.
    """

    apply: Sequence[Mapping[str, Any]]
    """Objects as they ought to be; those that are so already cost nothing."""
    status: AutoThinkServiceStatus
    costs: Sequence[DeletionCost] = field(default=())
    scale: Sequence[Scale] = field(default=())
    delete: Sequence[Deletion] = field(default=())
    transitions: Sequence[Transition] = field(default=())
    decision: Decision | None = None
