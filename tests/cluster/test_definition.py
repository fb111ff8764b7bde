"""The definition of AutoThinkService in a real API server: what it takes, what it refuses, what it shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.fakes.service_manifests import manifest
from tools.cluster.api_client import ApiClient
from tools.cluster.control_plane import ControlPlane

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("autothinkservice*.yaml"))
METERING = {"url": "http://metering:8090", "serviceToken": {"name": "kat", "key": "token"}}
GPU = {"name": "a", "gpusPerReplica": 1}
CPU = {"name": "c", "gpusPerReplica": 0}

Create = Callable[..., dict[str, Any]]


@pytest.fixture
def api(definitions: ControlPlane) -> ApiClient:
    return definitions.api


@pytest.fixture
def path(namespace: str) -> str:
    return f"/apis/autothink.dev/v1alpha1/namespaces/{namespace}/autothinkservices"


@pytest.fixture
def create(api: ApiClient, path: str) -> Create:
    """Makes a service of the least that there must be, and what is given."""

    def create(name: str = "kat", **spec: Any) -> dict[str, Any]:
        body = manifest(name, **spec)
        body["metadata"] = {"name": name}
        return api.create(path, body)

    return create


def refusal(made: Callable[[], object]) -> str:
    """The API server's own words, when it refuses."""
    with pytest.raises(httpx.HTTPStatusError) as refused:
        made()
    assert refused.value.response.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    return str(json.loads(refused.value.response.text)["message"])


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_taken(api: ApiClient, path: str, example: Path) -> None:
    api.create(path, yaml.safe_load(example.read_text()))


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        pytest.param({"replicas": {"min": 3, "max": 2}}, "lower min or raise max", id="more at least than at most"),
        pytest.param({"replicas": {"min": 2}}, "lower min or raise max", id="more at least than the default at most"),
        pytest.param({"pools": [GPU, GPU]}, "Duplicate value", id="two pools of one name"),
        pytest.param({"pools": []}, "should have at least 1 items", id="no pool"),
        pytest.param({"pools": [{**GPU, "name": "A"}]}, "spec.pools[0].name", id="a pool's name in capitals"),
        pytest.param({"pools": [GPU, CPU]}, "make them two services", id="GPUs and CPU together"),
        pytest.param({"pools": [{**GPU, "cpu": "many"}]}, "spec.pools[0].cpu", id="no quantity"),
        pytest.param(
            {"pools": [{**GPU, "tolerations": [{"operator": "Exists", "value": "x"}]}]},
            "takes no value",
            id="a toleration of nothing",
        ),
        pytest.param(
            {"model": {"uri": "default", "engine": "transformers", "quantization": "awq"}},
            "set engine to vllm or auto",
            id="transformers with quantised weights",
        ),
        pytest.param(
            {"model": {"uri": "default", "engine": "transformers", "engineArguments": {"max_num_seqs": 4}}},
            "engineArguments are vLLM's",
            id="transformers with vLLM's arguments",
        ),
        pytest.param(
            {
                "model": {"uri": "default", "engine": "transformers"},
                "pools": [{**GPU, "engineArguments": {"max_num_seqs": 4}}],
            },
            "pools[].engineArguments are vLLM's",
            id="transformers with a pool's arguments for vLLM",
        ),
        pytest.param(
            {"model": {"uri": "default", "quantization": "fp8"}, "pools": [CPU]}, "needs GPUs", id="fp8 on CPU"
        ),
        pytest.param({"model": {"uri": "KAT-V1-40B"}}, "spec.model.uri", id="no uri"),
        pytest.param({"metering": {**METERING, "url": "metering"}}, "spec.metering.url", id="no url"),
        pytest.param({"graceSeconds": 30}, "raise graceSeconds", id="cut while it thinks"),
        pytest.param(
            {"autoscaling": {"intervalSeconds": 60, "scaleDownWindowSeconds": 30}},
            "lower intervalSeconds",
            id="no decision in the window",
        ),
        pytest.param(
            {"autoscaling": {"surgeMemorySeconds": 300}}, "set it to 0", id="a memory shorter than two start-ups"
        ),
        pytest.param(
            {"autoscaling": {"objectives": {"queueSeconds": 5}}}, "lower queueSeconds", id="a wait beyond the objective"
        ),
        pytest.param(
            {"settings": {"KAT_MODEL": "other", "KAT_TRACING": "otlp"}},
            "settings may not have KAT_MODEL: it is set by model.uri",
            id="a setting that a field decides",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_change(create: Create, spec: dict[str, Any], said: str) -> None:
    assert said in refusal(lambda: create(**spec))


@pytest.mark.parametrize(
    ("name", "said"), [("k" * 47, "shorten one"), ("1kat", "start it with a letter"), ("kat.one", "start it with")]
)
def test_a_name_that_others_cannot_be_made_of_is_refused(create: Create, name: str, said: str) -> None:
    assert said in refusal(lambda: create(name))


def test_names_may_be_as_long_as_what_is_made_of_them_allows(create: Create) -> None:
    create("k" * 27, pools=[{"name": "p" * 20, "gpusPerReplica": 1}])


def test_defaults_are_filled_in(create: Create) -> None:
    spec = create()["spec"]
    assert (spec["replicas"], spec["autoscaling"]["objectives"]["queueSeconds"]) == ({"min": 1, "max": 1}, 2)


def test_engine_arguments_are_kept_as_they_are(create: Create) -> None:
    arguments = {"max_num_seqs": 4, "hf_overrides": {"rope": [1, 2.5]}, "enable_prefix_caching": True}
    stored = create(model={"uri": "default", "engineArguments": arguments})["spec"]["model"]["engineArguments"]
    assert stored == arguments


def test_cpu_may_be_a_number_or_a_text(create: Create) -> None:
    pools = [{**GPU, "cpu": 4, "memory": "1.5Gi"}]
    assert create(pools=pools)["spec"]["pools"][0]["cpu"] == 4


def test_a_new_version_of_a_model_keeps_its_name(api: ApiClient, path: str, create: Create) -> None:
    create(model={"uri": "hf://Kwaipilot/KAT-V1-40B"})
    kept = {"uri": "hf://Kwaipilot/KAT-V2", "name": "KAT-V1-40B"}
    assert api.merge(f"{path}/kat", {"spec": {"model": kept}})["spec"]["model"]["uri"] == kept["uri"]


def test_the_name_that_usage_is_booked_under_cannot_change(api: ApiClient, path: str, create: Create) -> None:
    create(model={"uri": "hf://Kwaipilot/KAT-V1-40B"})
    change = {"spec": {"model": {"uri": "hf://Kwaipilot/KAT-V2"}}}
    assert "set name to what it was" in refusal(lambda: api.merge(f"{path}/kat", change))


def test_scaling_sets_the_fewest_replicas(api: ApiClient, path: str, create: Create) -> None:
    create(replicas={"min": 1, "max": 4})
    api.merge(f"{path}/kat/scale", {"spec": {"replicas": 3}})
    assert api.get(f"{path}/kat")["spec"]["replicas"] == {"min": 3, "max": 4}


def test_scaling_beyond_the_most_replicas_is_refused(api: ApiClient, path: str, create: Create) -> None:
    create(replicas={"min": 1, "max": 4})
    assert "lower min or raise max" in refusal(lambda: api.merge(f"{path}/kat/scale", {"spec": {"replicas": 5}}))


def test_the_list_shows_what_the_status_says(api: ApiClient, path: str, create: Create) -> None:
    create()
    status = {
        "model": "KAT-V1-40B",
        "readyReplicas": 2,
        "desiredReplicas": 3,
        "thinkOnShare": "34 %",
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "ReplicasReady",
                "message": "",
                "lastTransitionTime": "2026-11-25T12:00:00Z",
            }
        ],
    }
    api.merge(f"{path}/kat/status", {"status": status})
    shown = api._client.get(path, headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}).json()
    names = [column["name"] for column in shown["columnDefinitions"]]
    row = dict(zip(names, shown["rows"][0]["cells"], strict=True))
    assert [row[name] for name in ("Model", "Ready", "Desired", "Think-on", "Reason")] == [
        "KAT-V1-40B",
        2,
        3,
        "34 %",
        "ReplicasReady",
    ]
