"""How many replicas the nodes can hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kat_operator.api import PoolSpec, Toleration
from kat_operator.autoscaler.capacity import ceiling, pod_requests, rooms

GPU = "nvidia.com/gpu"


def a_node(name: str = "node", *, gpus: int = 8, ready: bool = True, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"gpu": "h100"}},
        "spec": spec,
        "status": {
            "allocatable": {"cpu": "96", "memory": "1Ti", GPU: str(gpus), "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True" if ready else "Unknown"}],
        },
    }


def a_pod(node: str | None, *, phase: str = "Running", **requests: str) -> dict[str, Any]:
    requests = {GPU if name == "gpus" else name: amount for name, amount in requests.items()}
    return {
        "spec": {**({"nodeName": node} if node else {}), "containers": [{"resources": {"requests": requests}}]},
        "status": {"phase": phase},
    }


def a_pool(*, gpus: int = 2, **fields: Any) -> PoolSpec:
    return PoolSpec(name="h100", gpus_per_replica=gpus, **fields)


def test_as_many_replicas_fit_as_their_gpus_do() -> None:
    assert ceiling(a_pool(), rooms([a_node("a"), a_node("b", gpus=4)], []), running=0) == 6


def test_replicas_do_not_stretch_over_nodes() -> None:
    nodes = [a_node("a", gpus=3), a_node("b", gpus=3)]
    assert ceiling(a_pool(), rooms(nodes, []), running=0) == 2


def test_what_other_pods_asked_for_is_taken() -> None:
    assert ceiling(a_pool(), rooms([a_node()], [a_pod("node", gpus="5")]), running=0) == 1


def test_our_running_replicas_count_and_need_no_further_room() -> None:
    ours = [a_pod("node", gpus="2"), a_pod("node", gpus="2")]
    assert ceiling(a_pool(), rooms([a_node()], ours), running=2) == 4


def test_a_replica_that_ends_holds_its_gpus_without_counting() -> None:
    assert ceiling(a_pool(), rooms([a_node()], [a_pod("node", gpus="2")]), running=0) == 3


def test_pods_without_a_node_take_nothing() -> None:
    assert ceiling(a_pool(), rooms([a_node()], [a_pod(None, gpus="8", phase="Pending")]), running=0) == 4


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_pods_that_ended_take_nothing(phase: str) -> None:
    assert ceiling(a_pool(), rooms([a_node()], [a_pod("node", gpus="8", phase=phase)]), running=0) == 4


@pytest.mark.parametrize(
    "node",
    [a_node(ready=False), a_node(unschedulable=True), {**a_node(), "status": {"allocatable": {GPU: "8"}}}],
    ids=["not ready", "cordoned", "never heard of"],
)
def test_nodes_that_take_no_pods_hold_nothing_more(node: dict[str, Any]) -> None:
    assert ceiling(a_pool(), rooms([node], []), running=3) == 3


def test_only_nodes_with_the_pools_labels_count() -> None:
    pool = a_pool(node_selector={"gpu": "a100"})
    assert ceiling(pool, rooms([a_node()], []), running=0) == 0


@pytest.mark.parametrize(
    ("toleration", "admitted"),
    [
        (None, False),
        (Toleration(key="gpu", value="yes"), True),
        (Toleration(key="gpu", value="no"), False),
        (Toleration(key="gpu", operator="Exists"), True),
        (Toleration(operator="Exists"), True),
        (Toleration(key="gpu", operator="Exists", effect="NoExecute"), False),
        (Toleration(key="other", operator="Exists"), False),
    ],
    ids=["none", "equal", "another value", "any value", "any taint", "another effect", "another key"],
)
def test_a_taint_keeps_away_who_does_not_bear_it(toleration: Toleration | None, *, admitted: bool) -> None:
    node = a_node(taints=[{"key": "gpu", "value": "yes", "effect": "NoSchedule"}])
    pool = a_pool(tolerations=(toleration,) if toleration else ())
    assert (ceiling(pool, rooms([node], []), running=0) > 0) is admitted


def test_a_taint_that_only_prefers_keeps_nobody_away() -> None:
    node = a_node(taints=[{"key": "gpu", "effect": "PreferNoSchedule"}])
    assert ceiling(a_pool(), rooms([node], []), running=0) == 4


@pytest.mark.parametrize(
    ("taken", "replicas"),
    [({"cpu": "87500m"}, 2), ({"memory": "960Gi"}, 2), ({"cpu": "88001m"}, 1)],
    ids=["cpu", "memory", "a thousandth too little"],
)
def test_cpu_and_memory_bound_as_gpus_do(taken: dict[str, str], replicas: int) -> None:
    pods = [a_pod("node", **taken)]
    assert ceiling(a_pool(), rooms([a_node()], pods), running=0) == replicas


def test_a_node_holds_no_more_pods_than_it_says() -> None:
    node = a_node()
    node["status"]["allocatable"]["pods"] = "3"
    assert ceiling(a_pool(gpus=1), rooms([node], [a_pod("node")]), running=0) == 2


def test_a_pool_on_cpu_needs_no_gpu() -> None:
    assert ceiling(a_pool(gpus=0, cpu="10"), rooms([a_node(gpus=0)], []), running=0) == 9


def test_a_pod_takes_what_its_containers_and_side_cars_ask_for_together() -> None:
    spec = {
        "containers": [{"resources": {"requests": {"cpu": "1"}}}, {"resources": {"requests": {"cpu": "500m"}}}],
        "initContainers": [
            {"restartPolicy": "Always", "resources": {"requests": {"cpu": "250m"}}},
            {"resources": {"requests": {"cpu": "1"}}},
        ],
        "overhead": {"cpu": "50m"},
    }
    assert pod_requests(spec) == {"cpu": 1_800}


def test_an_init_container_that_asks_for_more_decides_with_the_side_cars_before_it() -> None:
    spec = {
        "containers": [{"resources": {"requests": {"cpu": "1"}}}],
        "initContainers": [
            {"restartPolicy": "Always", "resources": {"requests": {"cpu": "250m"}}},
            {"resources": {"requests": {"cpu": "3", GPU: "1"}}},
        ],
    }
    assert pod_requests(spec) == {"cpu": 3_250, GPU: 1_000}


def test_a_pods_own_request_stands_in_for_its_containers() -> None:
    spec = {
        "containers": [{"resources": {"requests": {"cpu": "1", GPU: "1"}}}],
        "resources": {"requests": {"cpu": "6"}},
    }
    assert pod_requests(spec) == {"cpu": 6_000, GPU: 1_000}


@given(st.lists(st.integers(0, 16), max_size=6), st.integers(1, 8), st.integers(0, 10))
def test_a_ceiling_is_what_runs_and_the_whole_replicas_that_each_node_has_left(
    free: list[int], gpus: int, running: int
) -> None:
    nodes = [a_node(str(number), gpus=amount) for number, amount in enumerate(free)]
    expected = running + sum(amount // gpus for amount in free)
    assert ceiling(a_pool(gpus=gpus, cpu="1", memory="1Gi"), rooms(nodes, []), running) == expected
