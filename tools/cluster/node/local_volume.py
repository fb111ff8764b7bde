"""A volume on the real node, for the first claim that names no class: what a cluster's storage would make by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from tools.cluster.node.real_node import RealCluster

CLASS: Final = "local"


def add_volume(cluster: RealCluster, name: str, *, size: str) -> Path:
    """A PersistentVolume of that size, a Kubernetes quantity, and the class `local` as the cluster's default.

    The folder that it is; it goes with the node.
    """
    folder = cluster.namespaces.folder / "volumes" / name
    folder.mkdir(parents=True)
    for path, body in objects(name, folder, size=size, node=cluster.node).items():
        cluster.control_plane.api.apply(path, body)
    return folder


def objects(name: str, folder: Path, *, size: str, node: str) -> dict[str, dict[str, Any]]:
    """What to apply, by path."""
    return {
        f"/apis/storage.k8s.io/v1/storageclasses/{CLASS}": {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            "provisioner": "kubernetes.io/no-provisioner",
            "volumeBindingMode": "WaitForFirstConsumer",
        },
        f"/api/v1/persistentvolumes/{name}": {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {
                "storageClassName": CLASS,
                "capacity": {"storage": size},
                "accessModes": ["ReadWriteOnce"],
                # Unlike hostPath's, its files are given to the pod's group.
                "local": {"path": str(folder)},
                "nodeAffinity": {
                    "required": {
                        "nodeSelectorTerms": [
                            {
                                "matchExpressions": [
                                    {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
                                ]
                            }
                        ]
                    }
                },
            },
        },
    }
