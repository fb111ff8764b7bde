"""How many replicas a pool's nodes can hold. Pure, over nodes and pods as the API server has them.

A replica fits a node whole or not at all: eight free GPUs on eight nodes hold no replica of two. Nodes are read once
for all services; services that share nodes each see the same room, and the scheduler decides between them: what then
stays without a node is no longer asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING
from functools import lru_cache
from typing import Any, Final

from kubernetes.utils.quantity import parse_quantity

from kat_operator.api import PoolSpec, Toleration

Resources = Mapping[str, int]
"""Amounts by resource name, in thousandths of its unit: whole numbers add up without error."""

_ENDED: Final = frozenset({"Succeeded", "Failed"})
_KEEPS_AWAY: Final = frozenset({"NoSchedule", "NoExecute"})
_PODS: Final = "pods"
_ONE_POD: Final = 1_000
_POD_LEVEL: Final = frozenset({"cpu", "memory"})
"""What spec.resources of a pod may ask for in place of its containers (KEP-2837)."""


@dataclass(frozen=True, slots=True)
class NodeRoom:
    """A node that takes pods, and what is left of it."""

    name: str
    labels: Mapping[str, str]
    taints: Sequence[Mapping[str, Any]]
    """Those that keep pods away."""
    free: Resources


def rooms(nodes: Iterable[Mapping[str, Any]], pods: Iterable[Mapping[str, Any]]) -> tuple[NodeRoom, ...]:
    """What is left of each node that is ready and not cordoned: allocatable less the requests of the pods on it.

    Pods that end hold what they asked for until they are gone. Pods without a node hold nothing yet.
    """
    used: dict[str, dict[str, int]] = {}
    for pod in pods:
        node = pod["spec"].get("nodeName")
        if node and pod.get("status", {}).get("phase") not in _ENDED:
            _add(used.setdefault(node, {}), {**pod_requests(pod["spec"]), _PODS: _ONE_POD})
    return tuple(
        NodeRoom(
            name=node["metadata"]["name"],
            labels=node["metadata"].get("labels", {}),
            taints=[taint for taint in node["spec"].get("taints", ()) if taint["effect"] in _KEEPS_AWAY],
            free=_less(_resources(node["status"].get("allocatable", {})), used.get(node["metadata"]["name"], {})),
        )
        for node in nodes
        if _takes_pods(node)
    )


def ceiling(pool: PoolSpec, nodes: Sequence[NodeRoom], running: int) -> int:
    """Replicas that the pool can have.

    Args:
        pool: The pool.
        nodes: All nodes that take pods; those that the pool's pods may go to are chosen here.
        running: The pool's pods that have a node and are not on their way out. They need no further room.
    """
    wanted = _resources({"cpu": pool.cpu, "memory": pool.memory, pool.gpu_resource: str(pool.gpus_per_replica)})
    wanted = {name: amount for name, amount in {**wanted, _PODS: _ONE_POD}.items() if amount > 0}
    return running + sum(
        max(0, min(node.free.get(name, 0) // amount for name, amount in wanted.items()))
        for node in nodes
        if _admits(pool, node)
    )


def pod_requests(spec: Mapping[str, Any]) -> Resources:
    """What a pod takes from its node, as the scheduler counts it.

    The containers that run side by side (side-cars are init containers that never end), or where that is more, an init
    container with the side-cars before it; plus the runtime's overhead.
    """
    running: dict[str, int] = {}
    for container in spec.get("containers", ()):
        _add(running, _requests(container))
    sidecars: dict[str, int] = {}
    starting: dict[str, int] = {}
    for container in spec.get("initContainers", ()):
        asked = dict(sidecars)
        _add(asked, _requests(container))
        if container.get("restartPolicy") == "Always":
            sidecars = asked
        starting = _most(starting, asked)
    _add(running, sidecars)
    total = _most(running, starting)
    pod_level = _requests(spec)
    total.update({name: amount for name, amount in pod_level.items() if name in _POD_LEVEL})
    _add(total, _resources(spec.get("overhead", {})))
    return total


def _takes_pods(node: Mapping[str, Any]) -> bool:
    if node["spec"].get("unschedulable", False):
        return False
    conditions = node["status"].get("conditions", ())
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _admits(pool: PoolSpec, node: NodeRoom) -> bool:
    return all(node.labels.get(label) == value for label, value in pool.node_selector.items()) and all(
        any(_tolerates(toleration, taint) for toleration in pool.tolerations) for taint in node.taints
    )


def _tolerates(toleration: Toleration, taint: Mapping[str, Any]) -> bool:
    if toleration.effect is not None and toleration.effect != taint["effect"]:
        return False
    if toleration.key is None:
        return toleration.operator == "Exists"
    if toleration.key != taint["key"]:
        return False
    return toleration.operator == "Exists" or (toleration.value or "") == (taint.get("value") or "")


def _requests(container: Mapping[str, Any]) -> Resources:
    return _resources(container.get("resources", {}).get("requests", {}))


def _resources(quantities: Mapping[str, str]) -> dict[str, int]:
    return {name: _thousandths(quantity) for name, quantity in quantities.items()}


@lru_cache(maxsize=4_096)
def _thousandths(quantity: str) -> int:
    # Rounded up, as Kubernetes does with what is finer.
    return int((parse_quantity(quantity) * 1_000).to_integral_value(ROUND_CEILING))


def _add(total: dict[str, int], more: Resources) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount


def _most(first: Resources, second: Resources) -> dict[str, int]:
    return {name: max(first.get(name, 0), second.get(name, 0)) for name in {*first, *second}}


def _less(total: Resources, used: Resources) -> Resources:
    return {name: amount - used.get(name, 0) for name, amount in total.items()}
