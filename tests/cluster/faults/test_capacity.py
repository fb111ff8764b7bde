"""Pools that are full, and nodes that are lost: nothing piles up, and what can run runs."""

from __future__ import annotations

from tests.fakes.cluster import SECONDS, MakePool
from tests.fakes.cluster_services import Services, a_service
from tests.fakes.operator_process import OperatorProcess
from tools.cluster.api_client import wait_until
from tools.cluster.control_plane import ControlPlane


def test_a_full_pool_limits_what_is_asked_for_and_no_pod_waits(
    operator: OperatorProcess, services: Services, make_pool: MakePool
) -> None:
    services.create(a_service("kat", make_pool(2), replicas={"min": 5, "max": 5}))

    services.wait_told("kat", "CapacityLimited", "True", "PoolsFull")
    services.wait_ready("kat", 2)
    assert services.pending_pods("kat") == []
    assert len(services.pods("kat")) == 2
    assert "the pools can hold 2" in services.message("kat", "CapacityLimited")
    wait_until(lambda: "PoolsFull" in services.events("kat"), seconds=SECONDS, what="an event says so")


def test_gpus_that_others_hold_are_not_counted(
    operator: OperatorProcess, services: Services, make_pool: MakePool
) -> None:
    pool = make_pool(2)
    services.create(a_service("first", pool, replicas={"min": 1, "max": 1}))
    services.wait_ready("first", 1)

    services.create(a_service("second", pool, replicas={"min": 2, "max": 2}))

    services.wait_ready("second", 1)
    services.wait_told("second", "CapacityLimited", "True", "PoolsFull")
    assert services.pending_pods("second") == []


def test_what_a_full_pool_kept_back_comes_with_a_new_node(
    control_plane: ControlPlane, operator: OperatorProcess, services: Services, make_pool: MakePool
) -> None:
    pool = make_pool(1)
    services.create(a_service("kat", pool, replicas={"min": 2, "max": 2}))
    services.wait_told("kat", "CapacityLimited", "True")
    services.wait_ready("kat", 1)

    [added] = control_plane.add_nodes(1, gpus=8, kind="added", labels=pool.selector)
    try:
        services.wait_ready("kat", 2)
        services.wait_told("kat", "CapacityLimited", "False", "CapacityAvailable")
    finally:
        control_plane.remove_node(added)


def test_a_pool_that_may_grow_has_pods_wait_for_the_nodes_that_a_cluster_autoscaler_adds(
    control_plane: ControlPlane, operator: OperatorProcess, services: Services, make_pool: MakePool
) -> None:
    pool = make_pool(1)
    body = a_service("kat", pool, replicas={"min": 3, "max": 3})
    body["spec"]["pools"][0]["growsTo"] = 2
    services.create(body)
    wait_until(lambda: len(services.pending_pods("kat")) == 1, seconds=SECONDS, what="a pod waits for a node")
    services.wait_told("kat", "CapacityLimited", "True", "PoolsFull")
    assert "the pools can hold 2" in services.message("kat", "CapacityLimited")

    [added] = control_plane.add_nodes(1, gpus=8, kind="added", labels=pool.selector)
    try:
        services.wait_ready("kat", 2)
        assert services.pending_pods("kat") == []
    finally:
        control_plane.remove_node(added)


def test_replicas_of_a_lost_node_start_again_where_there_is_room(
    control_plane: ControlPlane, operator: OperatorProcess, services: Services, make_pool: MakePool
) -> None:
    pool = make_pool(2)
    services.create(a_service("kat", pool, gpus=4, replicas={"min": 2, "max": 2}))
    services.wait_ready("kat", 2)

    control_plane.lose_node(pool.nodes[0])

    def nodes() -> list[str]:
        return [pod["spec"]["nodeName"] for pod in services.ready_pods("kat")]

    wait_until(lambda: nodes() == [pool.nodes[1]] * 2, seconds=SECONDS, what="both on the node that is left")
    services.wait_told("kat", "Ready", "True")


def test_a_lost_node_of_a_full_pool_leaves_the_rest_serving_and_no_pod_waiting(
    control_plane: ControlPlane, operator: OperatorProcess, services: Services, make_pool: MakePool
) -> None:
    pool = make_pool(2)
    services.create(a_service("kat", pool, replicas={"min": 2, "max": 2}))
    services.wait_ready("kat", 2)

    control_plane.lose_node(pool.nodes[0])

    services.wait_told("kat", "CapacityLimited", "True", "PoolsFull")
    services.wait_ready("kat", 1)
    # Kubernetes puts one into the lost one's place at once, and the operator takes it back.
    wait_until(lambda: services.pending_pods("kat") == [], seconds=SECONDS, what="no pod waits for a node")
    services.wait_told("kat", "Ready", "True")
