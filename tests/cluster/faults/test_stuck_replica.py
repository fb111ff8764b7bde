"""A replica that never turns ready: said, with the pod's own reason, and not answered with more of its kind."""

from __future__ import annotations

from tests.fakes.cluster import SECONDS, MakePool
from tests.fakes.cluster_services import Services, a_service
from tests.fakes.operator_process import OperatorProcess
from tools.cluster.api_client import wait_until

QUICK = {"intervalSeconds": 0.5, "scaleDownWindowSeconds": 1, "startupSeconds": 1}


def test_a_service_whose_replicas_never_turn_ready_says_so_and_asks_for_no_more(
    operator: OperatorProcess, services: Services, make_pool: MakePool
) -> None:
    body = a_service("kat", make_pool(4), image="predictor:never-ready", autoscaling=QUICK)
    services.create({**body, "spec": {**body["spec"], "replicas": {"min": 2, "max": 4}}})

    services.wait_told("kat", "Progressing", "False", "ReplicaStuck")
    services.wait_told("kat", "Ready", "False", "TooFewReplicas")
    assert "is not ready" in services.message("kat", "Progressing")
    assert len(services.pods("kat")) == 2
    wait_until(lambda: "ReplicaStuck" in services.events("kat"), seconds=SECONDS, what="an event says so")


def test_an_upgrade_whose_replica_never_turns_ready_takes_no_capacity_away(
    operator: OperatorProcess, services: Services, make_pool: MakePool
) -> None:
    services.create(a_service("kat", make_pool(3), replicas={"min": 2, "max": 2}, autoscaling=QUICK))
    services.wait_ready("kat", 2)
    before = {pod["metadata"]["uid"] for pod in services.pods("kat")}

    services.change("kat", model={"image": "predictor:never-ready"})

    services.wait_told("kat", "Progressing", "False", "ReplicaStuck")
    services.wait_told("kat", "Ready", "True")
    assert {pod["metadata"]["uid"] for pod in services.ready_pods("kat")} == before


def test_a_service_recovers_once_its_image_can_serve(
    operator: OperatorProcess, services: Services, make_pool: MakePool
) -> None:
    services.create(a_service("kat", make_pool(2), image="predictor:never-ready", autoscaling=QUICK))
    services.wait_told("kat", "Progressing", "False", "ReplicaStuck")

    services.change("kat", model={"image": "predictor:2"})

    services.wait_ready("kat", 1)
    services.wait_told("kat", "Progressing", "False", "Settled")
