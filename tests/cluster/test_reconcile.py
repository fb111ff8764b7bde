"""AutoThinkServices on a real control plane with KServe: from a spec to replicas, and back to nothing."""

from __future__ import annotations

from typing import Any

from tests.fakes.cluster import SECONDS, MakePool
from tests.fakes.cluster_services import Services, a_service
from tests.fakes.operator_process import OperatorProcess
from tests.fakes.prometheus import FakePrometheus, Load
from tools.cluster.api_client import wait_until


def names(services: Services, path: str) -> set[str]:
    found = services.api.get(path.format(namespace=services.namespace), labelSelector="autothink.dev/service=kat")
    return {item["metadata"]["name"] for item in found["items"] if "deletionTimestamp" not in item["metadata"]}


OWNED = (
    "/apis/serving.kserve.io/v1beta1/namespaces/{namespace}/inferenceservices",
    "/apis/monitoring.coreos.com/v1/namespaces/{namespace}/podmonitors",
    "/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets",
)


def versions(services: Services) -> dict[str, Any]:
    """Of everything that the operator writes."""
    paths = [
        f"{services.path}/kat",
        services.inference_service("kat"),
        services.deployment("kat"),
        f"/api/v1/namespaces/{services.namespace}/services/kat",
    ]
    return {path: services.api.get(path)["metadata"]["resourceVersion"] for path in paths}


def test_a_service_becomes_ready(operator: OperatorProcess, services: Services, make_pool: MakePool) -> None:
    services.create(a_service("kat", make_pool(), gpus=1, replicas={"min": 2, "max": 4}))

    services.wait_ready("kat", 2)
    services.wait_told("kat", "Ready", "True", "ReplicasReady")


def test_a_service_that_is_deleted_leaves_nothing(
    operator: OperatorProcess, services: Services, make_pool: MakePool
) -> None:
    services.create(a_service("kat", make_pool()))
    services.wait_ready("kat", 1)
    services.api.delete(f"{services.path}/kat")

    def left() -> list[object]:
        return [*services.pods("kat"), *(name for path in OWNED for name in names(services, path))]

    wait_until(lambda: not left(), seconds=SECONDS, what="nothing is left")


def test_at_rest_nothing_is_written(operator: OperatorProcess, services: Services, make_pool: MakePool) -> None:
    services.create(a_service("kat", make_pool()))
    services.wait_ready("kat", 1)
    services.wait_told("kat", "Progressing", "False", "Settled")
    services.wait_told("kat", "MetricsAvailable", "True", "MetricsFound")

    def unchanged_over_five_looks() -> bool:
        before, looks = versions(services), operator.metric("kat_operator_reconcile_seconds_count")
        wait_until(
            lambda: operator.metric("kat_operator_reconcile_seconds_count") > looks + 5,
            seconds=SECONDS, what="five looks",
        )  # fmt: skip
        return versions(services) == before

    # KServe may still be writing what it saw when all is told already.
    wait_until(unchanged_over_five_looks, seconds=SECONDS, what="five looks that write nothing")


def test_a_second_pool_takes_what_the_first_cannot_hold(
    operator: OperatorProcess, services: Services, make_pool: MakePool
) -> None:
    services.create(a_service("kat", make_pool(1), make_pool(2), gpus=8, replicas={"min": 3, "max": 3}))

    services.wait_ready("kat", 3)

    pools = {pool["name"]: pool["ready"] for pool in services.get("kat")["status"]["pools"]}
    assert pools == {"p0": 1, "p1": 2}


def test_a_pool_that_leaves_the_spec_goes_after_the_others_have_taken_over(
    operator: OperatorProcess, services: Services, make_pool: MakePool
) -> None:
    first, second = make_pool(), make_pool()
    body = a_service("kat", first, second, gpus=1)
    both = body["spec"]["pools"]
    services.create({**body, "spec": {**body["spec"], "pools": both[:1]}})
    services.wait_ready("kat", 1)
    services.change("kat", pools=both[1:])

    wait_until(lambda: names(services, OWNED[0]) == {"kat-p1"}, seconds=SECONDS, what="the first pool is gone")

    assert services.ready_pods("kat")


def test_load_brings_replicas_and_its_end_takes_the_least_busy_of_them(
    operator: OperatorProcess, services: Services, make_pool: MakePool, prometheus: FakePrometheus, namespace: str
) -> None:
    services.create(a_service("kat", make_pool(), gpus=1, replicas={"min": 1, "max": 2}))
    services.wait_ready("kat", 1)
    prometheus.load(namespace, "kat", Load(in_flight_on=100))
    services.wait_ready("kat", 2)
    prometheus.busiest = services.ready_pods("kat")[0]["metadata"]["name"]
    prometheus.load(namespace, "kat", Load(in_flight_on=1))

    services.wait_ready("kat", 1)

    assert [pod["metadata"]["name"] for pod in services.ready_pods("kat")] == [prometheus.busiest]


def test_a_new_image_reaches_all_replicas(operator: OperatorProcess, services: Services, make_pool: MakePool) -> None:
    services.create(a_service("kat", make_pool(), gpus=1, replicas={"min": 2, "max": 2}))
    services.wait_ready("kat", 2)
    services.change("kat", model={"image": "predictor:2"})

    def is_new() -> bool:
        images = [pod["spec"]["containers"][0]["image"] for pod in services.ready_pods("kat")]
        return images == ["predictor:2", "predictor:2"]

    wait_until(is_new, seconds=SECONDS, what="two replicas of the new image")


def test_a_service_at_zero_stays_there_until_it_is_wanted(
    operator: OperatorProcess, services: Services, make_pool: MakePool
) -> None:
    services.create(a_service("kat", make_pool(), replicas={"min": 0, "max": 2}))

    services.wait_told("kat", "Ready", "True", "ScaledToZero")

    assert not services.pods("kat")


def test_what_happened_is_told_in_events(
    operator: OperatorProcess, services: Services, make_pool: MakePool, prometheus: FakePrometheus, namespace: str
) -> None:
    services.create(a_service("kat", make_pool(), gpus=1, replicas={"min": 1, "max": 2}))
    services.wait_ready("kat", 1)
    prometheus.load(namespace, "kat", Load(in_flight_on=100))

    wait_until(lambda: "ScaledUp" in services.events("kat"), seconds=SECONDS, what="the event ScaledUp")


def test_prometheus_that_goes_away_changes_nothing_but_what_is_told(
    operator: OperatorProcess, services: Services, make_pool: MakePool, prometheus: FakePrometheus, namespace: str
) -> None:
    services.create(a_service("kat", make_pool(), gpus=1, replicas={"min": 1, "max": 3}))
    services.wait_ready("kat", 1)
    prometheus.load(namespace, "kat", Load(in_flight_on=200))
    services.wait_ready("kat", 3)
    prometheus.away = True

    services.wait_told("kat", "MetricsAvailable", "False", "PrometheusUnreachable")

    assert services.get("kat")["status"]["desiredReplicas"] == 3


def test_metrics_that_grow_stale_change_nothing_but_what_is_told(
    operator: OperatorProcess, services: Services, make_pool: MakePool, prometheus: FakePrometheus, namespace: str
) -> None:
    services.create(a_service("kat", make_pool(), gpus=1, replicas={"min": 1, "max": 3}))
    services.wait_ready("kat", 1)
    prometheus.load(namespace, "kat", Load(in_flight_on=200))
    services.wait_ready("kat", 3)
    prometheus.age = 600
    prometheus.load(namespace, "kat", Load())

    services.wait_told("kat", "MetricsAvailable", "False", "MetricsStale")

    assert services.get("kat")["status"]["desiredReplicas"] == 3
