"""The pod that a replica runs in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kat_operator.api import DEFAULT_MODEL_NAME, AutoThinkServiceSpec
from kat_operator.predictor_pod import OWN_SETTINGS, PredictorOptions, environment, predictor_pod
from kat_predictor import settings as predictor_settings
from tests.fakes.service_manifests import spec

OPTIONS = PredictorOptions(image="registry/predictor:1")
METERING = {"url": "http://metering:8090", "serviceToken": {"name": "kat", "key": "token"}}


def pod_of(service: AutoThinkServiceSpec, options: PredictorOptions = OPTIONS) -> dict[str, Any]:
    return predictor_pod("kat", service, service.pools[0], options)


def container_of(service: AutoThinkServiceSpec, options: PredictorOptions = OPTIONS) -> dict[str, Any]:
    (container,) = pod_of(service, options)["containers"]
    assert isinstance(container, dict)
    return container


def plain(service: AutoThinkServiceSpec) -> dict[str, str]:
    """The environment that has its values in the manifest."""
    return {entry["name"]: entry["value"] for entry in environment(service, service.pools[0]) if "value" in entry}


def read_by_the_predictor(
    service: AutoThinkServiceSpec, monkeypatch: pytest.MonkeyPatch
) -> predictor_settings.Settings:
    """The settings that the predictor makes of the pod's environment, as Kubernetes would fill it in."""
    for entry in environment(service, service.pools[0]):
        monkeypatch.setenv(entry["name"], entry.get("value", "filled in").replace("$$(", "$("))
    return predictor_settings.load_settings()


def test_the_predictor_understands_every_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    service = spec(
        model={
            "uri": "hf://Kwaipilot/KAT-V1-40B",
            "engine": "vllm",
            "quantization": "fp8",
            "contextTokens": 65536,
            "engineArguments": {"max-num-seqs": 16},
        },
        pools=[{"name": "a", "gpusPerReplica": 2, "engineArguments": {"kv_cache_dtype": "fp8"}}],
        autoscaling={"requestsPerReplica": 7},
        modePolicy={"thinkBudgetTokens": 4096, "maxTokens": 2048, "judge": "native"},
        graceSeconds=600,
        settings={"KAT_TRACING": "otlp"},
    )
    read = read_by_the_predictor(service, monkeypatch)
    assert read.model_dump(
        include={
            "model",
            "model_name",
            "engine",
            "engine_args",
            "max_model_len",
            "think_budget",
            "default_max_tokens",
            "judge",
            "max_concurrent_requests",
            "grace_seconds",
            "instance",
            "port",
            "tracing",
        }
    ) == {
        "model": "/mnt/models",
        "model_name": "KAT-V1-40B",
        "engine": "vllm",
        "engine_args": {
            "tensor_parallel_size": 2,
            "quantization": "fp8",
            "max_num_seqs": 16,
            "kv_cache_dtype": "fp8",
        },
        "max_model_len": 65536,
        "think_budget": 4096,
        "default_max_tokens": 2048,
        "judge": "native",
        "max_concurrent_requests": 7,
        "grace_seconds": 600,
        "instance": "filled in",
        "port": 8080,
        "tracing": "otlp",
    }


def test_what_the_spec_leaves_out_is_left_to_the_predictor() -> None:
    told = plain(spec())
    assert not {"KAT_ENGINE_ARGS", "KAT_MAX_MODEL_LEN", "KAT_THINK_BUDGET"} & told.keys()


def test_the_default_model_is_called_as_the_predictor_calls_it(monkeypatch: pytest.MonkeyPatch) -> None:
    service = spec(model={"uri": "default"})
    read = read_by_the_predictor(service, monkeypatch)
    assert (read.model, read.served_name) == ("default", DEFAULT_MODEL_NAME)
    assert (
        predictor_settings.Settings(service_token="t", engine_args={}, model_name=None).served_name == read.served_name
    )


@pytest.mark.parametrize("uri", ["default", "/opt/models/kat"])
def test_a_model_that_is_in_the_image_is_not_fetched(uri: str) -> None:
    told = plain(spec(model={"uri": uri}))
    assert told["KAT_MODEL"] == uri
    assert "STORAGE_URI" not in told


def test_a_model_elsewhere_is_fetched_by_kserve() -> None:
    told = plain(spec(model={"uri": "pvc://weights/kat"}))
    assert (told["KAT_MODEL"], told["STORAGE_URI"]) == ("/mnt/models", "pvc://weights/kat")


def test_the_tensor_parallel_size_is_the_number_of_gpus() -> None:
    arguments = plain(spec(pools=[{"name": "a", "gpusPerReplica": 4}]))["KAT_ENGINE_ARGS"]
    assert json.loads(arguments) == {"tensor_parallel_size": 4}


@pytest.mark.parametrize("spelling", ["tensor_parallel_size", "tensor-parallel-size", "--tensor-parallel-size"])
def test_a_pools_own_arguments_go_over_all_others(spelling: str) -> None:
    pool = {"name": "a", "gpusPerReplica": 4, "engineArguments": {spelling: 2}}
    model = {"uri": "default", "engineArguments": {"tensor_parallel_size": 3}}
    assert json.loads(plain(spec(model=model, pools=[pool]))["KAT_ENGINE_ARGS"]) == {"tensor_parallel_size": 2}


def test_transformers_spreads_over_gpus_without_being_told() -> None:
    service = spec(model={"uri": "default", "engine": "transformers"}, pools=[{"name": "a", "gpusPerReplica": 2}])
    assert "KAT_ENGINE_ARGS" not in plain(service)


def test_the_token_stays_in_its_secret() -> None:
    (token,) = [entry for entry in environment(spec(), spec().pools[0]) if entry["name"] == "KAT_SERVICE_TOKEN"]
    assert token["valueFrom"] == {"secretKeyRef": {"name": "kat", "key": "token"}}


def test_no_setting_is_given_twice() -> None:
    names = [entry["name"] for entry in environment(spec(settings={"HOME": "/x"}), spec().pools[0])]
    assert len(names) == len(set(names))


def test_more_settings_do_not_go_over_those_that_fields_decide() -> None:
    assert plain(spec(settings=dict.fromkeys(OWN_SETTINGS, "mine")))["KAT_MODEL"] == "/mnt/models"


def test_every_setting_that_a_field_decides_is_kept_from_the_free_ones() -> None:
    service = spec(
        model={"uri": "hf://a/b", "quantization": "awq", "contextTokens": 1}, modePolicy={"thinkBudgetTokens": 1}
    )
    told = {entry["name"] for entry in environment(service, service.pools[0])}
    assert told - {"HOME", "HF_HUB_OFFLINE"} <= OWN_SETTINGS.keys()


def test_a_value_is_not_taken_for_a_reference_to_another_variable() -> None:
    service = spec(metering={**METERING, "url": "http://m/$(KAT_SERVICE_TOKEN)"})
    assert plain(service)["KAT_METERING_URL"] == "http://m/$$(KAT_SERVICE_TOKEN)"


def test_the_pod_gets_longer_to_end_than_its_requests_and_its_outbox(monkeypatch: pytest.MonkeyPatch) -> None:
    drain = read_by_the_predictor(spec(), monkeypatch).drain_seconds
    assert drain == 300
    # A preStop sleep of 5 s, the grace period, and the predictor's own 10 + 5 s beside the outbox, with some to spare.
    assert pod_of(spec(graceSeconds=900))["terminationGracePeriodSeconds"] == 5 + 900 + 10 + drain + 5 + 10


def test_requests_and_limits_are_the_same_so_that_kserve_adds_none_of_its_own() -> None:
    resources = container_of(spec(pools=[{"name": "a", "gpusPerReplica": 2, "cpu": 8, "memory": "96Gi"}]))["resources"]
    assert resources["limits"] == resources["requests"] == {"cpu": "8", "memory": "96Gi", "nvidia.com/gpu": "2"}


def test_a_replica_on_cpu_asks_for_no_gpu() -> None:
    resources = container_of(spec(pools=[{"name": "a", "gpusPerReplica": 0}]))["resources"]
    assert set(resources["limits"]) == {"cpu", "memory"}


@pytest.mark.parametrize(("cpu", "threads"), [("200m", "1"), ("2", "2"), ("2500m", "3")])
def test_a_replica_on_cpu_computes_with_as_many_threads_as_it_has_cores(cpu: str, threads: str) -> None:
    assert plain(spec(pools=[{"name": "a", "gpusPerReplica": 0, "cpu": cpu}]))["OMP_NUM_THREADS"] == threads


def test_threads_are_left_to_the_library_beside_a_gpu_and_to_the_user_who_sets_them() -> None:
    on_cpu = [{"name": "a", "gpusPerReplica": 0, "cpu": "2"}]
    assert "OMP_NUM_THREADS" not in plain(spec())
    assert plain(spec(pools=on_cpu, settings={"OMP_NUM_THREADS": "5"}))["OMP_NUM_THREADS"] == "5"


def test_gpus_may_go_by_another_name() -> None:
    pool = {"name": "a", "gpusPerReplica": 1, "gpuResource": "amd.com/gpu"}
    assert container_of(spec(pools=[pool]))["resources"]["limits"]["amd.com/gpu"] == "1"


def test_a_pools_nodes_are_chosen_and_their_taints_borne() -> None:
    toleration = {"key": "gpu", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}
    pool = {"name": "a", "gpusPerReplica": 1, "nodeSelector": {"gpu": "h100"}, "tolerations": [toleration]}
    pod = pod_of(spec(pools=[pool]))
    assert (pod["nodeSelector"], pod["tolerations"]) == ({"gpu": "h100"}, [toleration])


def test_a_services_image_goes_over_the_operators() -> None:
    assert container_of(spec(model={"uri": "default", "image": "mine:2"}))["image"] == "mine:2"


def test_pods_keep_to_the_restricted_pod_security_standard() -> None:
    pod, container = pod_of(spec()), container_of(spec())
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_the_user_can_be_left_to_the_platform() -> None:
    security = pod_of(spec(), PredictorOptions(image="i", run_as_user=None))["securityContext"]
    assert security == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def test_everything_that_is_written_to_is_a_volume() -> None:
    service = spec()
    mounts = {mount["mountPath"] for mount in container_of(service)["volumeMounts"]}
    assert container_of(service)["securityContext"]["readOnlyRootFilesystem"] is True
    assert mounts == {"/var/lib/kat", "/tmp", "/dev/shm"}
    assert {plain(service)[name].startswith("/var/lib/kat") for name in ("HOME", "KAT_HOME", "KAT_OUTBOX_PATH")} == {
        True
    }


def test_vllms_processes_share_memory_and_transformers_needs_none() -> None:
    service = spec(model={"uri": "default", "engine": "transformers"})
    assert "shm" not in [volume["name"] for volume in pod_of(service)["volumes"]]


def test_every_mount_has_its_volume() -> None:
    service = spec()
    mounted = [mount["name"] for mount in container_of(service)["volumeMounts"]]
    assert mounted == [volume["name"] for volume in pod_of(service)["volumes"]]


def test_other_services_addresses_stay_out_of_the_settings() -> None:
    assert pod_of(spec())["enableServiceLinks"] is False


def test_a_slow_start_is_not_punished() -> None:
    container = container_of(spec())
    assert container["startupProbe"]["httpGet"]["path"] == container["livenessProbe"]["httpGet"]["path"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/v2/health/ready"
