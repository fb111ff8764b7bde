"""Pools to which a cluster autoscaler adds nodes: `growsTo` counts as room, and waiting for a node is no fault."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kat_operator.api import ConditionType
from kat_operator.kinds import INFERENCE_SERVICE
from kat_operator.pod_view import Fault
from kat_operator.resources import applied_strategy
from kat_operator.upgrade import Strategy
from tests.fakes.one_service import LOST, NOBODY, World, told

AUTOSCALING = {"intervalSeconds": 1, "scaleDownWindowSeconds": 60, "startupSeconds": 60}


def a_pool(name: str, *, grows_to: int | None = None) -> dict[str, Any]:
    pool = {"name": name, "gpusPerReplica": 8, "nodeSelector": {"pool": name}, "cpu": "1", "memory": "1Gi"}
    return pool if grows_to is None else {**pool, "growsTo": grows_to}


def a_world(*pools: dict[str, Any], least: int, **found: Any) -> World:
    """A service that needs at least so many replicas."""
    names = tuple(pool["name"] for pool in pools)
    spec = {"pools": list(pools), "replicas": {"min": least, "max": 16}, "autoscaling": AUTOSCALING}
    return World(pools=names, spec=spec, **found)


def test_replicas_are_asked_for_up_to_what_the_pool_may_grow_to() -> None:
    plan = a_world(a_pool("p0", grows_to=4), least=6, room={"p0": 1}).look()

    assert [(pool.replicas, pool.ceiling) for pool in plan.status.pools] == [(4, 4)]
    assert told(plan.status, ConditionType.CAPACITY_LIMITED) == ("True", "PoolsFull")


def test_nodes_that_are_there_count_beyond_what_the_pool_may_grow_to() -> None:
    plan = a_world(a_pool("p0", grows_to=2), least=6, room={"p0": 5}).look()

    assert [pool.replicas for pool in plan.status.pools] == [5]


def test_a_pool_that_grows_takes_what_those_before_it_cannot_hold() -> None:
    plan = a_world(a_pool("p0"), a_pool("p1", grows_to=4), least=6, room={"p0": 3, "p1": 0}).look()

    assert [pool.replicas for pool in plan.status.pools] == [3, 3]
    assert told(plan.status, ConditionType.CAPACITY_LIMITED) == ("False", "CapacityAvailable")


def test_a_replica_that_waits_for_a_node_is_stuck_only_after_two_starts() -> None:
    world = a_world(a_pool("p0", grows_to=4), least=1, room={"p0": 0}, reading=NOBODY)
    world.runs(replicas=1, ready=0)
    fault = Fault("Unschedulable", "pod p0-0: no node has room")
    world.pods[0] = replace(world.pods[0], scheduled=False, fault=fault)

    early, late = world.look_for(60), world.look_for(70)

    assert told(early.status, ConditionType.PROGRESSING) == ("True", "Scaling")
    assert told(late.status, ConditionType.PROGRESSING) == ("False", "ReplicaStuck")


def test_a_rollout_surges_into_a_pool_that_may_grow() -> None:
    world = a_world(a_pool("p0", grows_to=4), least=2, room={"p0": 0}, reading=LOST)
    world.runs(replicas=2)
    world.look()
    world.spec = {**world.spec, "model": {"uri": "default", "image": "predictor:2"}}

    [applied] = [body for body in world.look().apply if body["kind"] == INFERENCE_SERVICE.kind]

    assert applied_strategy(applied) is Strategy.SURGE
