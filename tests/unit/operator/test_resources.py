"""What a service consists of in the cluster."""

from __future__ import annotations

from typing import Any

import pytest

from kat_operator.api import AutoThinkServiceSpec
from kat_operator.predictor_pod import PredictorOptions
from kat_operator.resources import (
    TEMPLATE_LABEL,
    Owner,
    applied_strategy,
    applied_template,
    deployment_name,
    inference_service,
    pod_disruption_budget,
    pod_monitor,
    selector,
    service,
)
from kat_operator.upgrade import Strategy
from tests.fakes.service_manifests import spec

OWNER = Owner(namespace="llm", name="kat", uid="7c1e")
OPTIONS = PredictorOptions(image="registry/predictor:1")


def rendered(
    wanted: AutoThinkServiceSpec | None = None,
    *,
    pool: int = 0,
    options: PredictorOptions = OPTIONS,
    strategy: Strategy = Strategy.SURGE,
) -> dict[str, Any]:
    wanted = spec() if wanted is None else wanted
    return inference_service(OWNER, wanted, wanted.pools[pool], options=options, strategy=strategy)


def template_of(wanted: AutoThinkServiceSpec, **given: Any) -> str | None:
    return applied_template(rendered(wanted, **given))


def test_each_pool_has_an_inference_service_of_its_own() -> None:
    two = spec(pools=[{"name": "a", "gpusPerReplica": 1}, {"name": "b", "gpusPerReplica": 2}])
    assert [rendered(two, pool=number)["metadata"]["name"] for number in (0, 1)] == ["kat-a", "kat-b"]


def test_the_deployment_is_found_by_kserves_naming() -> None:
    assert deployment_name("kat", "a") == "kat-a-predictor"


def test_kserve_is_told_to_leave_the_size_to_us() -> None:
    annotations = rendered()["metadata"]["annotations"]
    assert annotations == {
        "serving.kserve.io/deploymentMode": "Standard",
        "serving.kserve.io/autoscalerClass": "external",
    }
    assert not {"minReplicas", "maxReplicas"} & rendered()["spec"]["predictor"].keys()


def test_what_is_rendered_twice_is_the_same() -> None:
    assert rendered() == rendered()


def test_another_image_is_another_template() -> None:
    assert template_of(spec()) != template_of(spec(), options=PredictorOptions(image="registry/predictor:2"))


def test_another_model_is_another_template() -> None:
    assert template_of(spec()) != template_of(spec(model={"uri": "hf://Kwaipilot/KAT-V2"}))


@pytest.mark.parametrize(
    "change",
    [
        {"replicas": {"min": 2, "max": 9}},
        {"autoscaling": {"scaleDownWindowSeconds": 60}},
        {"disruption": {"maxUnavailable": 2}},
    ],
)
def test_what_does_not_concern_a_pod_does_not_roll_it(change: dict[str, Any]) -> None:
    assert template_of(spec()) == template_of(spec(**change))


def test_how_pods_are_replaced_does_not_roll_them() -> None:
    assert template_of(spec()) == template_of(spec(), strategy=Strategy.ONE_AT_A_TIME)


def test_the_order_of_a_pools_labels_does_not_roll_it() -> None:
    pools = [
        {"name": "a", "gpusPerReplica": 1, "nodeSelector": selected}
        for selected in ({"x": "1", "y": "2"}, {"y": "2", "x": "1"})
    ]
    assert template_of(spec(pools=pools[:1])) == template_of(spec(pools=pools[1:]))


@pytest.mark.parametrize("strategy", list(Strategy))
def test_the_strategy_is_read_back_from_what_was_made(strategy: Strategy) -> None:
    assert applied_strategy(rendered(strategy=strategy)) is strategy


def test_somebody_elses_strategy_is_none_of_ours() -> None:
    assert applied_strategy({"spec": {"predictor": {"deploymentStrategy": {"type": "Recreate"}}}}) is None


def test_a_template_that_says_nothing_is_not_known() -> None:
    assert applied_template({"metadata": {}}) is None


def test_a_template_hash_is_a_label() -> None:
    digest = rendered()["metadata"]["labels"][TEMPLATE_LABEL]
    assert len(digest) == 10
    assert digest.isalnum()


def test_everything_goes_when_the_service_goes() -> None:
    objects = [rendered(), service(OWNER), pod_monitor(OWNER, spec()), pod_disruption_budget(OWNER, spec())]
    owners = [
        (reference["uid"], reference["controller"])
        for body in objects
        for reference in body["metadata"]["ownerReferences"]
    ]
    assert owners == [("7c1e", True)] * len(objects)


def test_one_address_leads_to_the_pods_of_all_pools() -> None:
    (port,) = service(OWNER)["spec"]["ports"]
    assert service(OWNER)["spec"]["selector"] == {"autothink.dev/service": "kat"}
    assert (port["port"], port["targetPort"]) == (80, 8080)


def test_pods_bear_the_labels_that_everything_selects_them_by() -> None:
    name, _, value = selector("kat").partition("=")
    assert rendered()["metadata"]["labels"][name] == value
    for body in (pod_monitor(OWNER, spec()), pod_disruption_budget(OWNER, spec())):
        assert body["spec"]["selector"] == {"matchLabels": {name: value}}


@pytest.mark.parametrize(("interval", "scraped"), [(5, "5s"), (0.5, "1s"), (60, "10s")])
def test_prometheus_reads_as_often_as_decisions_are_made_and_never_seldom(interval: float, scraped: str) -> None:
    monitor = pod_monitor(OWNER, spec(autoscaling={"intervalSeconds": interval}))
    assert monitor["spec"]["podMetricsEndpoints"][0]["interval"] == scraped


def test_the_monitor_reads_the_port_that_the_container_names() -> None:
    (port,) = rendered()["spec"]["predictor"]["containers"][0]["ports"]
    assert pod_monitor(OWNER, spec())["spec"]["podMetricsEndpoints"][0]["port"] == port["name"]


def test_maintenance_may_take_away_what_the_spec_allows() -> None:
    assert pod_disruption_budget(OWNER, spec(disruption={"maxUnavailable": 2}))["spec"]["maxUnavailable"] == 2
