"""Nodes that kwok plays: any capacity, no machine. The real scheduler fills them; pods there run without containers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tools.cluster.api_client import ApiClient, Json, wait_until
from tools.cluster.components import FAKE_NODE_ANNOTATION

_READY_SECONDS: Final = 30
_UNREACHABLE: Final = "node.kubernetes.io/unreachable"
NODES: Final = "/api/v1/nodes"


class FakeNodes:
    """Adds nodes to a cluster and takes them from it."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api
        self._made = 0

    def add(
        self,
        count: int,
        *,
        gpus: int,
        kind: str,
        labels: Mapping[str, str],
        taints: Sequence[Mapping[str, str]],
        cpu: int,
        memory: str,
    ) -> list[str]:
        """Names of `count` new nodes, once they are ready for pods."""
        names = [f"{kind}-{self._made + index}" for index in range(count)]
        self._made += count
        for name in names:
            node = _node(name, gpus=gpus, kind=kind, labels=labels, taints=taints, cpu=cpu, memory=memory)
            self._api.create(NODES, node)
        wait_until(lambda: all(self._open(name) for name in names), seconds=_READY_SECONDS, what=f"nodes {names} ready")
        return names

    def remove(self, name: str) -> None:
        """Delete the node, and at once its pods, as the garbage collector of pods would within a minute."""
        self._api.delete(f"{NODES}/{name}")
        for pod in self._pods(name):
            self._api.delete(pod, gracePeriodSeconds="0")

    def lose(self, name: str) -> None:
        """The node stops answering: it and its pods are not ready at once, and the pods evicted 5 s later.

        Writes what the node lifecycle controller writes of a silent node, without the minute that it waits before.
        """
        path = f"{NODES}/{name}"
        self._api.merge(path, {"metadata": {"annotations": {FAKE_NODE_ANNOTATION: "lost"}}})
        self._not_ready(path, status="Unknown", reason="NodeStatusUnknown")
        others = [taint for taint in self._api.get(path)["spec"].get("taints", []) if taint["key"] != _UNREACHABLE]
        unreachable = [{"key": _UNREACHABLE, "effect": effect} for effect in ("NoSchedule", "NoExecute")]
        self._api.merge(path, {"spec": {"taints": [*others, *unreachable]}})
        for pod in self._pods(name):
            self._not_ready(pod, status="False", reason="NodeNotReady")

    def _pods(self, node: str) -> list[str]:
        """Paths of the pods there."""
        pods = self._api.get("/api/v1/pods", fieldSelector=f"spec.nodeName={node}")["items"]
        names = [(pod["metadata"]["namespace"], pod["metadata"]["name"]) for pod in pods]
        return [f"/api/v1/namespaces/{namespace}/pods/{name}" for namespace, name in names]

    def _not_ready(self, path: str, *, status: str, reason: str) -> None:
        now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        changed = {"status": status, "reason": reason, "lastTransitionTime": now}
        conditions = [
            {**condition, **changed} if condition["type"] == "Ready" else condition
            for condition in self._api.get(path)["status"].get("conditions", [])
        ]
        self._api.merge(f"{path}/status", {"status": {"conditions": conditions}})

    def _open(self, name: str) -> bool:
        """Ready, and the taint that every node is born with has gone."""
        node = self._api.get(f"{NODES}/{name}")
        conditions = node.get("status", {}).get("conditions", [])
        ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
        return ready and all("not-ready" not in taint["key"] for taint in node["spec"].get("taints", []))


def _node(
    name: str,
    *,
    gpus: int,
    kind: str,
    labels: Mapping[str, str],
    taints: Sequence[Mapping[str, str]],
    cpu: int,
    memory: str,
) -> Json:
    capacity: dict[str, Any] = {"cpu": str(cpu), "memory": memory, "pods": "110"}
    if gpus:
        capacity["nvidia.com/gpu"] = str(gpus)
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {FAKE_NODE_ANNOTATION: "fake"},
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "node.kubernetes.io/instance-type": kind,
                "type": "kwok",
                **labels,
            },
        },
        "spec": {"taints": [dict(taint) for taint in taints]},
        "status": {"capacity": capacity, "allocatable": capacity},
    }
