"""Watches whose connections die without a word: the tick acts meanwhile, and the silence does not last for ever."""

from __future__ import annotations

from collections.abc import Callable

from tests.fakes.cluster import MakePool
from tests.fakes.cluster_services import Services, a_service
from tests.fakes.operator_process import OperatorProcess
from tests.fakes.prometheus import FakePrometheus, Load
from tests.fakes.way_to_api_server import Way
from tools.cluster.api_client import wait_until

MakeOperator = Callable[..., OperatorProcess]

PATIENCE = 150
"""Requests on connections that have died as well come first: a list is given up after 30 s, a write after 5 s."""
NEVER = "3600"
"""Seconds of silence that no test waits for."""


def test_while_the_watches_are_silent_a_tick_acts_on_what_metrics_say(
    way: Way,
    make_operator: MakeOperator,
    services: Services,
    make_pool: MakePool,
    prometheus: FakePrometheus,
    namespace: str,
) -> None:
    operator = make_operator(way.kubeconfig, KAT_OPERATOR_WATCH_IDLE_SECONDS=NEVER)
    operator.start()
    # The new pods' share of the load is not seen while the watches are silent: no replica may go for that.
    patient = {"intervalSeconds": 0.5, "scaleDownWindowSeconds": 600, "startupSeconds": 5}
    services.create(a_service("kat", make_pool(4), autoscaling=patient))
    services.wait_ready("kat", 1)

    way.deafen()
    prometheus.load(namespace, "kat", Load(in_flight_off=120.0))

    def replicas() -> int:
        return int(services.api.get(services.deployment("kat"))["spec"]["replicas"])

    wait_until(lambda: replicas() > 1, seconds=PATIENCE, what="more replicas for more load")


def test_a_silence_beyond_its_limit_is_noticed_and_what_was_missed_is_read(
    way: Way, make_operator: MakeOperator, services: Services, make_pool: MakePool
) -> None:
    operator = make_operator(way.kubeconfig, KAT_OPERATOR_WATCH_IDLE_SECONDS="10")
    operator.start()
    services.create(a_service("kat", make_pool(2)))
    services.wait_ready("kat", 1)

    way.deafen()
    services.change("kat", replicas={"min": 2})

    wait_until(
        lambda: services.get("kat")["status"].get("replicas") == 2, seconds=PATIENCE, what="2 replicas are asked for"
    )
    services.wait_ready("kat", 2)
