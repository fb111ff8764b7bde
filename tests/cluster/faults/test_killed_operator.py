"""An operator that is killed between any two writes: the next one comes to the same end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fakes.cluster import SECONDS, MakePool
from tests.fakes.cluster_services import Services, a_service
from tests.fakes.operator_process import OperatorProcess
from tests.fakes.way_to_api_server import Way
from tools.cluster.api_client import wait_until

MakeOperator = Callable[..., OperatorProcess]

SAME = {"KAT_OPERATOR_IDENTITY": "operator"}
"""As a container that is started again in its pod: the lease is its own."""


@pytest.mark.parametrize("requests", [1, 2, 4, 6, 9])
def test_an_operator_that_is_killed_between_two_requests_leaves_nothing_half_done(
    way: Way, make_operator: MakeOperator, services: Services, make_pool: MakePool, requests: int
) -> None:
    """So many requests of the first operator arrive, of which most are writes; the one after them never does."""
    first, second = make_operator(way.kubeconfig, **SAME), make_operator(**SAME)
    first.start()
    wait_until(lambda: first.leads, seconds=SECONDS, what="it leads")

    way.fall_silent_after(requests)
    # Two replicas fit into each pool: that takes two InferenceServices, and a scaling of each Deployment.
    services.create(a_service("kat", make_pool(), make_pool(), gpus=4, replicas={"min": 4, "max": 4}))
    wait_until(lambda: way.proxy.silent, seconds=SECONDS, what="the operator got stuck on its way")
    first.kill()
    assert services.get("kat").get("status", {}).get("readyReplicas", 0) < 4
    second.start()

    services.wait_ready("kat", 4)
    services.wait_told("kat", "Ready", "True")
    assert {pool["name"]: pool["replicas"] for pool in services.get("kat")["status"]["pools"]} == {"p0": 2, "p1": 2}


def test_a_deletion_goes_on_while_no_operator_runs(
    operator: OperatorProcess, services: Services, make_pool: MakePool
) -> None:
    services.create(a_service("kat", make_pool()))
    services.wait_ready("kat", 1)
    operator.kill()

    services.api.delete(f"{services.path}/kat")

    wait_until(lambda: not services.remains("kat"), seconds=SECONDS, what="nothing of it remains")
