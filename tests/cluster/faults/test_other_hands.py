"""Others change or delete what the operator made: it becomes again what the service says."""

from __future__ import annotations

import pytest

from tests.fakes.cluster import SECONDS, MakePool
from tests.fakes.cluster_services import Services, a_service
from tests.fakes.operator_process import OperatorProcess
from tools.cluster.api_client import wait_until


@pytest.mark.parametrize("replicas", [0, 5])
def test_a_deployment_that_somebody_scaled_gets_its_size_back(
    operator: OperatorProcess, services: Services, make_pool: MakePool, replicas: int
) -> None:
    services.create(a_service("kat", make_pool(3), replicas={"min": 2, "max": 2}))
    services.wait_ready("kat", 2)

    services.api.merge(f"{services.deployment('kat')}/scale", {"spec": {"replicas": replicas}})

    wait_until(
        lambda: services.api.get(services.deployment("kat"))["spec"]["replicas"] == 2,
        seconds=SECONDS,
        what="2 replicas are asked for again",
    )
    services.wait_ready("kat", 2)


def test_an_inference_service_that_somebody_deleted_is_made_again_with_its_size(
    operator: OperatorProcess, services: Services, make_pool: MakePool
) -> None:
    services.create(a_service("kat", make_pool(3), replicas={"min": 3, "max": 3}))
    services.wait_ready("kat", 3)
    path = services.inference_service("kat")
    before = services.uid(path)

    services.api.delete(path)

    wait_until(
        lambda: services.uid(path) not in {None, before}, seconds=SECONDS, what="another InferenceService in its place"
    )
    services.wait_ready("kat", 3)


def test_an_image_that_somebody_put_into_an_inference_service_is_put_back(
    operator: OperatorProcess, services: Services, make_pool: MakePool
) -> None:
    services.create(a_service("kat", make_pool(2)))
    services.wait_ready("kat", 1)
    path = services.inference_service("kat")
    [container] = services.api.get(path)["spec"]["predictor"]["containers"]

    services.api.merge(path, {"spec": {"predictor": {"containers": [{**container, "image": "miner:latest"}]}}})

    def image() -> str:
        [found] = services.api.get(path)["spec"]["predictor"]["containers"]
        return str(found["image"])

    wait_until(lambda: image() == "predictor:1", seconds=SECONDS, what="the image is the service's again")
    wait_until(
        lambda: [pod["spec"]["containers"][0]["image"] for pod in services.ready_pods("kat")] == ["predictor:1"],
        seconds=SECONDS,
        what="no pod runs another",
    )


def test_an_image_that_somebody_put_into_a_deployment_does_not_stay(
    operator: OperatorProcess, services: Services, make_pool: MakePool
) -> None:
    services.create(a_service("kat", make_pool(2)))
    services.wait_ready("kat", 1)
    path = services.deployment("kat")
    template = services.api.get(path)["spec"]["template"]
    [container] = template["spec"]["containers"]

    changed = {"template": {"spec": {"containers": [{**container, "image": "miner:latest"}]}}}
    assert services.api.merge(path, {"spec": changed})["spec"]["template"] != template

    wait_until(
        lambda: services.api.get(path)["spec"]["template"] == template, seconds=SECONDS, what="the template is back"
    )
    wait_until(
        lambda: [pod["spec"]["containers"][0]["image"] for pod in services.pods("kat")] == ["predictor:1"],
        seconds=SECONDS,
        what="no pod runs another",
    )


def test_a_disruption_budget_that_somebody_loosened_or_deleted_holds_again(
    operator: OperatorProcess, services: Services, make_pool: MakePool
) -> None:
    services.create(a_service("kat", make_pool()))
    services.wait_ready("kat", 1)
    path = f"/apis/policy/v1/namespaces/{services.namespace}/poddisruptionbudgets/kat"
    assert services.api.get(path)["spec"]["maxUnavailable"] == 1

    services.api.merge(path, {"spec": {"maxUnavailable": 8}})
    wait_until(
        lambda: services.api.get(path)["spec"]["maxUnavailable"] == 1, seconds=SECONDS, what="the budget is ours again"
    )

    services.api.delete(path)
    wait_until(lambda: services.api.exists(path), seconds=SECONDS, what="the budget is there again")
