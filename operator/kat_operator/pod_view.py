"""What of nodes and pods is kept, and what a replica's pod says of itself. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from kat_operator.api import POOL_LABEL, SERVICE_LABEL
from kat_operator.resources import applied_template

DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
_METADATA: Final = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp")
_CONTAINER: Final = ("name", "resources", "restartPolicy")
_NODE_METADATA: Final = ("name", "uid", "resourceVersion", "labels", "deletionTimestamp")


def trim_pod(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of any pod what it takes from its node; of ours what tells how it is, too. A cluster may have many pods."""
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status", {})
    labels = metadata.get("labels", {})
    kept: dict[str, Any] = {
        "metadata": _only(metadata, _METADATA),
        "spec": {
            **_only(spec, ("nodeName", "overhead", "resources")),
            "containers": [_only(container, _CONTAINER) for container in spec.get("containers", ())],
            "initContainers": [_only(container, _CONTAINER) for container in spec.get("initContainers", ())],
        },
        "status": _only(status, ("phase",)),
    }
    if SERVICE_LABEL in labels:
        kept["metadata"]["labels"] = labels
        cost = metadata.get("annotations", {}).get(DELETION_COST)
        if cost is not None:
            kept["metadata"]["annotations"] = {DELETION_COST: cost}
        kept["status"] = _only(status, ("phase", "podIP", "conditions", "containerStatuses", "initContainerStatuses"))
    return kept


def trim_node(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a node has to give, to whom, and whether it is up. Images and addresses are most of a node."""
    return {
        "metadata": _only(node["metadata"], _NODE_METADATA),
        "spec": _only(node.get("spec", {}), ("taints", "unschedulable")),
        "status": {
            **_only(node.get("status", {}), ("allocatable",)),
            # Heartbeats change nothing that matters here, and would wake everybody.
            "conditions": [
                _only(condition, ("type", "status")) for condition in node.get("status", {}).get("conditions", ())
            ],
        },
    }


def _only(body: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: body[name] for name in names if name in body}


def same_but_version(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether an update of a trimmed object tells nothing new."""
    first, second = ({**body["metadata"], "resourceVersion": ""} for body in (old, new))
    return first == second and old.get("spec") == new.get("spec") and old.get("status") == new.get("status")


@dataclass(frozen=True, slots=True)
class PodView:
    """A replica's pod."""

    name: str
    pool: str
    template: str | None
    """Hash of the template that it was made of."""
    ip: str | None
    ready: bool
    terminating: bool
    """It was asked to go; it ends its requests and takes no new ones."""
    scheduled: bool
    deletion_cost: int
    created: datetime
    startup_seconds: float | None
    """From its creation to its being ready; None before, and where a restart came between."""
    fault: Fault | None
    """Why it is not ready, where it says so."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What keeps a pod from being ready. `reason` is Kubernetes' own, such as ImagePullBackOff."""

    reason: str
    message: str


def view_pod(pod: Mapping[str, Any]) -> PodView:
    metadata, status = pod["metadata"], pod.get("status", {})
    conditions = {condition["type"]: condition for condition in status.get("conditions", ())}
    ready = conditions.get("Ready", {}).get("status") == "True"
    return PodView(
        name=metadata["name"],
        pool=metadata.get("labels", {}).get(POOL_LABEL, ""),
        template=applied_template(pod),
        ip=status.get("podIP"),
        ready=ready,
        terminating="deletionTimestamp" in metadata,
        scheduled=bool(pod.get("spec", {}).get("nodeName")),
        deletion_cost=int(metadata.get("annotations", {}).get(DELETION_COST, 0)),
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        startup_seconds=_startup_seconds(metadata, status, conditions) if ready else None,
        fault=None if ready else _fault(metadata["name"], status, conditions),
    )


def _startup_seconds(
    metadata: Mapping[str, Any], status: Mapping[str, Any], conditions: Mapping[str, Any]
) -> float | None:
    if any(container.get("restartCount", 0) for container in status.get("containerStatuses", ())):
        return None
    created = datetime.fromisoformat(metadata["creationTimestamp"])
    since = conditions["Ready"].get("lastTransitionTime")
    return max(0.0, (datetime.fromisoformat(since) - created).total_seconds()) if since else None


def _fault(name: str, status: Mapping[str, Any], conditions: Mapping[str, Any]) -> Fault | None:
    for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        waiting = container.get("state", {}).get("waiting")
        if waiting and waiting.get("reason") not in {None, "ContainerCreating", "PodInitializing"}:
            said = waiting.get("message") or _last_words(container)
            return Fault(waiting["reason"], f"pod {name}: {said}" if said else f"pod {name}")
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return Fault(scheduled.get("reason", "Unschedulable"), f"pod {name}: {scheduled.get('message', '')}")
    if status.get("phase") == "Failed":
        return Fault(status.get("reason", "Failed"), f"pod {name}: {status.get('message', 'failed')}")
    return None


def _last_words(container: Mapping[str, Any]) -> str:
    ended = container.get("lastState", {}).get("terminated", {})
    return f"exit code {ended['exitCode']}, {ended.get('reason', '')}" if "exitCode" in ended else ""
