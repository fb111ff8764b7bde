"""An API server that restarts, and watches that break or fall silent: nothing is undone, nothing is missed for good."""

from __future__ import annotations

from collections.abc import Callable

from tests.fakes.cluster import SECONDS, MakePool
from tests.fakes.cluster_services import Services, a_service
from tests.fakes.operator_process import OperatorProcess
from tests.fakes.way_to_api_server import Way
from tools.cluster.api_client import wait_until
from tools.cluster.control_plane import ControlPlane

MakeOperator = Callable[..., OperatorProcess]


def test_an_operator_outlives_a_restart_of_the_api_server(
    control_plane: ControlPlane, operator: OperatorProcess, services: Services, make_pool: MakePool
) -> None:
    services.create(a_service("kat", make_pool(2)))
    services.wait_ready("kat", 1)
    before = {pod["metadata"]["uid"] for pod in services.pods("kat")}

    control_plane.restart_api_server()
    services.change("kat", replicas={"min": 2})

    services.wait_ready("kat", 2)
    assert before <= {pod["metadata"]["uid"] for pod in services.pods("kat")}
    assert operator.part.alive()


def test_what_changed_while_the_watches_were_broken_is_acted_upon(
    way: Way, make_operator: MakeOperator, services: Services, make_pool: MakePool
) -> None:
    operator = make_operator(way.kubeconfig)
    operator.start()
    services.create(a_service("kat", make_pool(2)))
    services.wait_ready("kat", 1)

    way.fall_silent()
    services.change("kat", replicas={"min": 2})
    services.api.delete(services.inference_service("kat"))
    wait_until(lambda: not services.pods("kat"), seconds=SECONDS, what="the pods went with their InferenceService")
    way.cut()
    way.speak()

    services.wait_ready("kat", 2)


def test_an_operator_that_starts_before_the_api_server_waits_for_it(
    way: Way, make_operator: MakeOperator, services: Services, make_pool: MakePool
) -> None:
    services.create(a_service("kat", make_pool()))
    way.fall_silent()
    operator = make_operator(way.kubeconfig)
    operator.part.start()
    wait_until(lambda: operator.answers("/healthz"), seconds=SECONDS, what="the operator runs")
    assert not operator.answers("/readyz")

    way.speak()

    services.wait_ready("kat", 1)
    assert operator.answers("/readyz")
