"""An idle service that may go to zero replicas does, and every request starts it anew."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from kat.processes import port_or_free
from tests.fakes.cluster import MakePool
from tests.fakes.cluster_services import Services, a_service
from tests.fakes.operator_process import OperatorProcess

AUTOSCALING = {"intervalSeconds": 0.5, "scaleDownWindowSeconds": 1, "startupSeconds": 5, "idleToZeroSeconds": 3}


def test_a_service_comes_and_goes_with_its_requests(
    services: Services, make_pool: MakePool, make_operator: Callable[..., OperatorProcess], namespace: str
) -> None:
    port = port_or_free(0)
    make_operator(KAT_OPERATOR_ACTIVATOR_PORT=str(port), KAT_OPERATOR_ACTIVATOR_IP="10.9.8.7").start()
    services.create(a_service("kat", make_pool(), replicas={"min": 0, "max": 2}, autoscaling=AUTOSCALING))
    for _ in range(2):
        services.wait_ready("kat", 0)
        answer = httpx.get(f"http://127.0.0.1:{port}/v1/models", headers={"Host": f"kat.{namespace}"}, timeout=10)
        assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
        services.wait_ready("kat", 1)
    services.wait_ready("kat", 0)
