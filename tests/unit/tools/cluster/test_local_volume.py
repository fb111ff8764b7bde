"""A volume of the real node, as a claim without a class of its own finds it."""

from __future__ import annotations

from pathlib import Path

from tools.cluster.node.local_volume import objects


def test_its_class_is_the_clusters_default_and_waits_for_the_pod() -> None:
    storage_class, volume = objects("data", Path("/volumes/data"), size="1Gi", node="real-7").values()

    assert storage_class["metadata"]["annotations"] == {"storageclass.kubernetes.io/is-default-class": "true"}
    assert storage_class["volumeBindingMode"] == "WaitForFirstConsumer"
    assert volume["spec"]["storageClassName"] == storage_class["metadata"]["name"]


def test_only_pods_of_its_node_may_use_it() -> None:
    _, volume = objects("data", Path("/volumes/data"), size="1Gi", node="real-7").values()

    (term,) = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term == {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["real-7"]}]}
