"""What a look at a service says is to be done."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kat_operator.activator import activator_endpoint_slice
from kat_operator.api import ConditionType
from kat_operator.autoscaler.observation import ReplicaSignals
from kat_operator.kinds import ENDPOINT_SLICE, INFERENCE_SERVICE, POD_MONITOR, Key
from kat_operator.observed import Memory
from kat_operator.plan import Deletion, DeletionCost, Scale
from kat_operator.pod_view import Fault
from tests.fakes.observations import some_signals
from tests.fakes.one_service import LOST, NOBODY, World, applied, found, told


def test_a_new_service_gets_its_objects() -> None:
    plan = World().look()

    assert applied(plan) == {
        ("Service", "kat"),
        ("PodDisruptionBudget", "kat"),
        ("PodMonitor", "kat"),
        ("InferenceService", "kat-p0"),
    }


def test_a_pool_that_is_not_needed_gets_nothing_yet() -> None:
    plan = World(pools=("p0", "p1")).look()

    assert ("InferenceService", "kat-p1") not in applied(plan)


def test_a_pool_is_used_when_the_one_before_it_is_full() -> None:
    world = World(pools=("p0", "p1"), spec={"replicas": {"min": 3, "max": 8}}, room={"p0": 2, "p1": 8})

    plan = world.look()

    assert ("InferenceService", "kat-p1") in applied(plan)
    assert {pool.name: pool.replicas for pool in plan.status.pools} == {"p0": 2, "p1": 1}


def test_without_the_kind_podmonitor_there_is_none() -> None:
    plan = World(missing=frozenset({POD_MONITOR})).look()

    assert ("PodMonitor", "kat") not in applied(plan)


def test_without_kserve_nothing_is_done_and_the_status_says_so() -> None:
    plan = World(missing=frozenset({INFERENCE_SERVICE})).look()

    assert plan.apply == ()
    assert told(plan.status, ConditionType.READY) == ("False", "KServeMissing")


def test_a_deployment_that_kserve_made_with_one_replica_is_scaled_to_what_is_wanted() -> None:
    world = World(spec={"replicas": {"min": 3, "max": 8}})
    world.look()
    world.runs(replicas=1)

    assert world.look().scale == [Scale(Key("default", "kat-p0-predictor"), 3)]


def test_a_deployment_that_was_made_anew_gets_back_what_was_asked_for_though_no_metrics_say_so() -> None:
    world = World(reading=found(some_signals(in_flight=100.0, replicas=2)))
    world.runs(replicas=2)
    asked = world.look().status.desired_replicas
    world.reading, world.pods, world.owned = LOST, [], {}
    world.runs(replicas=1)

    plan = world.look()

    assert asked > 1
    assert plan.scale == [Scale(Key("default", "kat-p0-predictor"), asked)]


def test_a_deployment_that_somebody_scaled_is_scaled_back() -> None:
    world = World(reading=LOST)
    world.runs(replicas=2)
    world.look()
    world.deployments["p0"] = 7

    assert world.look().scale == [Scale(Key("default", "kat-p0-predictor"), 2)]


def test_load_scales_up_at_once() -> None:
    world = World()
    world.runs(replicas=1)
    world.look()
    world.reading = found(some_signals(in_flight=100.0, think_on=1.0))

    plan = world.look()

    assert plan.scale == [Scale(Key("default", "kat-p0-predictor"), plan.status.desired_replicas)]
    assert plan.status.desired_replicas > 1


def test_nothing_is_scaled_where_all_is_as_it_was_asked_for() -> None:
    world = World(reading=LOST)
    world.runs(replicas=2)
    world.look()

    plan = world.look()

    assert (plan.scale, plan.costs, plan.delete) == ([], [], ())


def test_nothing_is_asked_for_beyond_what_the_pools_hold() -> None:
    world = World(spec={"replicas": {"min": 6, "max": 8}}, room={"p0": 2})

    plan = world.look()

    assert [pool.replicas for pool in plan.status.pools] == [2]
    assert told(plan.status, ConditionType.CAPACITY_LIMITED) == ("True", "PoolsFull")


def test_a_shrinking_pool_marks_its_least_busy_pods_first_and_scales_when_they_are_marked() -> None:
    world = World(spec={"replicas": {"min": 1, "max": 3}})
    world.runs(replicas=3)
    busy = [ReplicaSignals("p0-0", 9, 0, 0.1), ReplicaSignals("p0-1", 1, 0, 0.1), ReplicaSignals("p0-2", 5, 0, 0.1)]
    world.reading = found(replace(some_signals(in_flight=15.0), replicas=busy))
    world.look()
    world.spec = {"replicas": {"min": 1, "max": 2}}

    first = world.look()
    world.pods = [replace(pod, deletion_cost=-1) if pod.name == "p0-1" else pod for pod in world.pods]
    second = world.look()

    assert (first.costs, first.scale) == ([DeletionCost(Key("default", "p0-1"), -1)], [])
    assert (second.costs, second.scale) == ([], [Scale(Key("default", "kat-p0-predictor"), 2)])


def test_a_pod_that_is_marked_goes_though_another_is_less_busy_by_now() -> None:
    world = World(spec={"replicas": {"min": 1, "max": 1}})
    world.runs(replicas=2)
    world.pods[0] = replace(world.pods[0], deletion_cost=-1)
    busy = [ReplicaSignals("p0-0", 9, 0, 0.1), ReplicaSignals("p0-1", 1, 0, 0.1)]
    world.reading = found(replace(some_signals(in_flight=10.0), replicas=busy))

    assert world.look().scale == [Scale(Key("default", "kat-p0-predictor"), 1)]


def test_a_mark_stays_until_kubernetes_has_acted_on_it() -> None:
    world = World(reading=LOST, spec={"replicas": {"min": 1, "max": 1}})
    world.runs(replicas=2)
    world.pods[0] = replace(world.pods[0], deletion_cost=-1)
    world.deployments["p0"] = 1

    assert world.look().costs == []


def test_a_mark_is_taken_back_when_the_pod_is_needed_after_all() -> None:
    world = World(reading=LOST)
    world.runs(replicas=2)
    world.pods[0] = replace(world.pods[0], deletion_cost=-1)

    assert world.look().costs == [DeletionCost(Key("default", "p0-0"), 0)]


def test_pods_that_are_not_ready_go_without_being_marked() -> None:
    world = World(reading=found(some_signals()), spec={"replicas": {"min": 1, "max": 1}})
    world.runs(replicas=2, ready=1)

    plan = world.look()

    assert (plan.costs, plan.scale) == ([], [Scale(Key("default", "kat-p0-predictor"), 1)])


def test_a_pool_that_left_the_spec_stays_until_the_others_carry_the_load() -> None:
    world = World(pools=("p0", "p1"), reading=LOST)
    world.runs("p1", replicas=2)
    world.look()
    world.pools = ("p0",)

    plan = world.look()

    assert plan.delete == ()
    assert [(pool.name, pool.replicas) for pool in plan.status.pools] == [("p0", 2)]


def test_a_pool_that_left_the_spec_goes_when_the_others_carry_the_load() -> None:
    world = World(pools=("p0", "p1"), reading=LOST)
    world.runs("p1", replicas=2)
    world.look()
    world.pools = ("p0",)
    world.look()
    world.runs("p0", replicas=2)

    assert world.look().delete == (Deletion(INFERENCE_SERVICE, Key("default", "kat-p1"), "uid-p1"),)


def test_an_inference_service_of_somebody_else_is_left_alone() -> None:
    world = World(reading=LOST)
    world.runs(replicas=1)
    world.owned[INFERENCE_SERVICE, "theirs"] = {
        "metadata": {"name": "theirs", "uid": "x", "labels": {"autothink.dev/service": "kat"}, "ownerReferences": []}
    }

    assert world.look().delete == ()


def test_while_nothing_serves_the_service_leads_to_the_activator() -> None:
    plan = World(activator=True).look()

    assert ("EndpointSlice", "kat-activator") in applied(plan)


def test_when_a_replica_serves_the_way_to_the_activator_goes() -> None:
    world = World(activator=True, reading=LOST)
    world.runs(replicas=1)
    slice_ = activator_endpoint_slice(world.service, "10.0.0.9", 8082, [])
    assert slice_ is not None
    slice_["metadata"]["uid"] = "uid-slice"
    world.owned[ENDPOINT_SLICE, "kat-activator"] = slice_

    assert world.look().delete == (Deletion(ENDPOINT_SLICE, Key("default", "kat-activator"), "uid-slice"),)


def test_a_service_at_zero_gets_a_replica_when_somebody_asks() -> None:
    world = World(spec={"replicas": {"min": 0, "max": 2}})
    assert world.look().status.desired_replicas == 0
    world.wanted = True

    plan = world.look()

    assert ("InferenceService", "kat-p0") in applied(plan)
    assert plan.status.desired_replicas == 1


def test_a_new_template_rolls_one_pool_at_a_time() -> None:
    world = World(pools=("p0", "p1"), reading=LOST)
    world.runs("p0", replicas=1)
    world.runs("p1", replicas=1)
    world.look()
    world.spec = {"model": {"uri": "default", "image": "predictor:2"}}

    plan = world.look()

    assert ("InferenceService", "kat-p0") in applied(plan)
    assert ("InferenceService", "kat-p1") not in applied(plan)


def test_in_a_rollout_on_a_full_pool_a_pod_that_ends_does_not_shrink_the_pool() -> None:
    world = World(reading=LOST, room={"p0": 0})
    world.runs(replicas=2)
    world.look()
    world.pods[0] = replace(world.pods[0], terminating=True, ready=False)

    plan = world.look()

    assert plan.scale == []
    assert [pool.replicas for pool in plan.status.pools] == [2]


@pytest.mark.parametrize("reason", ["ImagePullBackOff", "CrashLoopBackOff", "Unschedulable"])
def test_a_replica_that_keeps_saying_what_is_wrong_is_told_of(reason: str) -> None:
    world = World(reading=NOBODY)
    world.runs(replicas=1, ready=0)
    world.pods[0] = replace(world.pods[0], fault=Fault(reason, "pod p0-0: it says why"))

    early, late = world.look_for(5), world.look_for(10)

    assert told(early.status, ConditionType.PROGRESSING) == ("True", "Scaling")
    assert told(late.status, ConditionType.PROGRESSING) == ("False", "ReplicaStuck")
    progressing = late.status.condition(ConditionType.PROGRESSING)
    assert progressing is not None
    assert "it says why" in progressing.message


def test_a_replica_that_says_nothing_and_is_not_ready_for_long_is_told_of() -> None:
    world = World(reading=NOBODY)
    world.runs(replicas=1, ready=0)
    world.clock.advance(3600)

    assert told(world.look().status, ConditionType.PROGRESSING) == ("False", "ReplicaStuck")


def test_after_a_restart_nothing_is_scaled_down_before_a_whole_window_was_seen() -> None:
    autoscaling = {"intervalSeconds": 1, "scaleDownWindowSeconds": 60, "startupSeconds": 5}
    world = World(spec={"autoscaling": autoscaling})
    world.runs(replicas=3)
    world.reading = found(some_signals(replicas=3))
    world.look_for(30)
    world.memory = Memory()

    assert world.look_for(50).status.desired_replicas == 3


def test_killed_before_the_scaling_the_next_look_scales() -> None:
    world = World()
    world.runs(replicas=1)
    world.reading = found(some_signals(in_flight=100.0, think_on=1.0))
    asked = world.look().status.desired_replicas
    world.memory, world.reading = Memory(), LOST

    assert world.look().scale == [Scale(Key("default", "kat-p0-predictor"), asked)]


def test_start_up_times_are_measured() -> None:
    world = World(reading=LOST)
    world.runs(replicas=2)
    world.pods = [replace(pod, startup_seconds=seconds) for pod, seconds in zip(world.pods, (90, 130), strict=True)]

    assert world.look().status.startup_seconds == 110
