"""A cluster without KServe, or without our own definition: it is said what to install, and no restart is needed then."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest

from kat_operator.crd import NAME
from tests.fakes.cluster import SECONDS, MakePool
from tests.fakes.cluster_services import Services, a_service
from tests.fakes.operator_process import OperatorProcess, install_definition
from tests.fakes.started_control_plane import started_control_plane
from tools.cluster import build, kserve
from tools.cluster.api_client import wait_until
from tools.cluster.components import Options
from tools.cluster.control_plane import ControlPlane

MakeOperator = Callable[..., OperatorProcess]


@pytest.fixture
def control_plane() -> Iterator[ControlPlane]:
    """One of the test's own, that nobody has installed KServe into."""
    with started_control_plane(Options(kserve=False)) as cluster:
        yield cluster


@pytest.fixture
def definitions(control_plane: ControlPlane) -> ControlPlane:
    """For `services`; the definition comes with the operator's rights, or when the test says so."""
    return control_plane


def test_without_kserve_a_service_says_what_to_install_and_comes_up_once_it_is_there(
    control_plane: ControlPlane, operator: OperatorProcess, services: Services, make_pool: MakePool
) -> None:
    services.create(a_service("kat", make_pool()))
    services.wait_told("kat", "Ready", "False", "KServeMissing")
    assert services.message("kat", "Ready").startswith("install KServe")
    before = operator.part.pid

    kserve.install_definitions(control_plane.api, build.kserve_config())

    path = services.inference_service("kat")
    wait_until(lambda: services.api.exists(path), seconds=SECONDS, what="the service's InferenceService")
    # KServe's controller does not run here, so no replica comes.
    services.wait_told("kat", "Ready", "False", "TooFewReplicas")
    assert (operator.part.alive(), operator.part.pid) == (True, before)


def test_without_our_definition_the_operator_is_not_ready_and_says_so_until_it_is_there(
    control_plane: ControlPlane, make_operator: MakeOperator, services: Services, make_pool: MakePool
) -> None:
    operator = make_operator()
    path = f"{kserve.CRDS}/{NAME}"
    control_plane.api.delete(path)
    wait_until(lambda: not control_plane.api.exists(path), seconds=SECONDS, what="the definition is gone")

    def unready() -> str:
        answer = httpx.get(f"{operator.url}/readyz", timeout=SECONDS)
        return "" if answer.is_success else answer.text

    operator.part.start()
    wait_until(lambda: operator.answers("/healthz"), seconds=SECONDS, what="the operator runs")
    told = "the cluster has no AutoThinkService: install the CRD of kat-serving's chart"
    wait_until(lambda: unready() == told, seconds=SECONDS, what="it says what to install")

    install_definition(control_plane)
    services.create(a_service("kat", make_pool()))

    wait_until(lambda: operator.answers("/readyz"), seconds=SECONDS, what="the operator is ready")
    # It acts, as far as it can without KServe.
    services.wait_told("kat", "Ready", "False", "KServeMissing")
    assert operator.part.alive()
