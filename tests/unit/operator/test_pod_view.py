"""What is kept of nodes and pods, and what a replica's pod says of itself."""

from __future__ import annotations

from typing import Any

import pytest

from kat_operator.pod_view import DELETION_COST, Fault, same_but_version, trim_node, trim_pod, view_pod

READY = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-03-15T12:02:10Z"}


def a_pod(*, ours: bool = True, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "kat-h100-1",
            "namespace": "llm",
            "uid": "u",
            "resourceVersion": "7",
            "creationTimestamp": "2026-03-15T12:00:00Z",
            "labels": {"autothink.dev/service": "kat", "autothink.dev/pool": "h100"} if ours else {"app": "other"},
            "annotations": {DELETION_COST: "-2", "large": "x" * 1_000},
            "managedFields": [{}],
        },
        "spec": {
            "nodeName": "node-1",
            "containers": [
                {"name": "main", "image": "x", "env": [{}], "resources": {"requests": {"nvidia.com/gpu": "1"}}}
            ],
            "volumes": [{}],
        },
        "status": {"phase": "Running", "podIP": "10.0.0.7", **status},
    }


def test_of_any_pod_what_it_takes_from_its_node_is_kept() -> None:
    kept = trim_pod(a_pod(ours=False))

    assert kept["spec"]["nodeName"] == "node-1"
    assert kept["spec"]["containers"] == [{"name": "main", "resources": {"requests": {"nvidia.com/gpu": "1"}}}]


def test_of_other_pods_nothing_more_is_kept() -> None:
    kept = trim_pod(a_pod(ours=False))

    assert kept["status"] == {"phase": "Running"}
    assert "labels" not in kept["metadata"]


def test_of_our_pods_it_is_kept_how_they_are() -> None:
    kept = trim_pod(a_pod(conditions=[READY]))

    assert kept["status"]["conditions"] == [READY]
    assert kept["metadata"]["annotations"] == {DELETION_COST: "-2"}


def test_a_node_s_heartbeat_is_no_news() -> None:
    def node(version: str, beat: str) -> dict[str, Any]:
        condition = {"type": "Ready", "status": "True", "lastHeartbeatTime": beat}
        status = {"allocatable": {"cpu": "8"}, "conditions": [condition], "images": [{}]}
        return {"metadata": {"name": "node-1", "resourceVersion": version}, "spec": {}, "status": status}

    assert same_but_version(trim_node(node("1", "12:00")), trim_node(node("2", "12:05")))


def test_a_node_that_is_cordoned_is_news() -> None:
    body = {"metadata": {"name": "node-1", "resourceVersion": "1"}, "spec": {}, "status": {}}

    assert not same_but_version(trim_node(body), trim_node({**body, "spec": {"unschedulable": True}}))


def test_a_ready_pod_tells_where_it_is_and_how_long_it_took_to_start() -> None:
    view = view_pod(trim_pod(a_pod(conditions=[READY])))

    assert (view.name, view.pool, view.ip, view.ready, view.scheduled) == ("kat-h100-1", "h100", "10.0.0.7", True, True)
    assert (view.startup_seconds, view.deletion_cost, view.fault) == (130.0, -2, None)


def test_a_start_with_a_restart_in_it_is_no_measure_of_starts() -> None:
    view = view_pod(trim_pod(a_pod(conditions=[READY], containerStatuses=[{"restartCount": 1}])))

    assert view.startup_seconds is None


def test_a_pod_on_its_way_out_says_so() -> None:
    pod = a_pod(conditions=[READY])
    pod["metadata"]["deletionTimestamp"] = "2026-03-15T13:00:00Z"

    assert view_pod(trim_pod(pod)).terminating


def waiting(reason: str, message: str | None = None, **more: Any) -> dict[str, Any]:
    told = {"reason": reason, **({"message": message} if message else {})}
    return {"containerStatuses": [{"state": {"waiting": told}, **more}]}


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        pytest.param(
            waiting("ImagePullBackOff", "no such image"),
            Fault("ImagePullBackOff", "pod kat-h100-1: no such image"),
            id="image that cannot be pulled",
        ),
        pytest.param(
            waiting("CrashLoopBackOff", lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}}),
            Fault("CrashLoopBackOff", "pod kat-h100-1: exit code 137, OOMKilled"),
            id="container that crashes",
        ),
        pytest.param(
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3"}]},
            Fault("Unschedulable", "pod kat-h100-1: 0/3"),
            id="no node to go to",
        ),
        pytest.param(waiting("ContainerCreating"), None, id="container that is being made"),
        pytest.param({}, None, id="pod that says nothing"),
    ],
)
def test_a_pod_that_is_not_ready_says_why(status: dict[str, Any], fault: Fault | None) -> None:
    assert view_pod(trim_pod(a_pod(**status))).fault == fault
