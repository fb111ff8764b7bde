"""The cluster that the other tests trust: it schedules, reconciles, refuses and forgets as a real one does."""

import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.fakes.alive import is_alive
from tests.fakes.cluster import SECONDS, GpuPool, MakePool, condition, wait_for_condition
from tools.cluster.api_client import ApiClient, Json, tls, wait_until
from tools.cluster.components import Options
from tools.cluster.control_plane import ControlPlane


@pytest.fixture
def api(control_plane: ControlPlane) -> ApiClient:
    return control_plane.api


def pod(pool: GpuPool, *, gpus: int, image: str = "predictor") -> Json:
    return {
        "nodeSelector": pool.selector,
        "containers": [{"name": "main", "image": image, "resources": {"limits": {"nvidia.com/gpu": str(gpus)}}}],
    }


def create_pod(api: ApiClient, namespace: str, name: str, spec: Json) -> str:
    """The path of the new pod."""
    api.create(f"/api/v1/namespaces/{namespace}/pods", {"metadata": {"name": name}, "spec": spec})
    return f"/api/v1/namespaces/{namespace}/pods/{name}"


def create_deployment(api: ApiClient, namespace: str, spec: Json, *, replicas: int) -> str:
    labels = {"app": "replicas"}
    api.create(
        f"/apis/apps/v1/namespaces/{namespace}/deployments",
        {
            "metadata": {"name": "replicas"},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": spec},
            },
        },
    )
    return f"/apis/apps/v1/namespaces/{namespace}/deployments/replicas"


def test_a_pod_that_asks_for_all_gpus_of_a_node_runs_there(api: ApiClient, namespace: str, make_pool: MakePool) -> None:
    pool = make_pool(gpus=8)

    path = create_pod(api, namespace, "large", pod(pool, gpus=8))

    wait_for_condition(api, path, "Ready", "True")
    assert api.get(path)["spec"]["nodeName"] == pool.nodes[0]


def test_a_pod_for_which_no_gpu_is_left_stays_pending(api: ApiClient, namespace: str, make_pool: MakePool) -> None:
    pool = make_pool(gpus=8)
    wait_for_condition(api, create_pod(api, namespace, "first", pod(pool, gpus=8)), "Ready", "True")

    path = create_pod(api, namespace, "second", pod(pool, gpus=1))

    wait_for_condition(api, path, "PodScheduled", "False")
    assert api.get(path)["status"]["phase"] == "Pending"


def test_a_tainted_node_takes_no_pod_that_does_not_bear_it(api: ApiClient, namespace: str, make_pool: MakePool) -> None:
    pool = make_pool(taints=[{"key": "gpu", "value": "reserved", "effect": "NoSchedule"}])

    path = create_pod(api, namespace, "stranger", pod(pool, gpus=1))

    wait_for_condition(api, path, "PodScheduled", "False")


def test_an_image_tagged_never_ready_runs_without_turning_ready(
    api: ApiClient, namespace: str, make_pool: MakePool
) -> None:
    pool = make_pool()
    stuck = create_pod(api, namespace, "stuck", pod(pool, gpus=1, image="predictor:never-ready"))
    wait_until(lambda: api.get(stuck)["status"].get("podIP"), seconds=SECONDS, what="the pod started")

    # A pod created later and ready by now: the first had its chance.
    wait_for_condition(api, create_pod(api, namespace, "other", pod(pool, gpus=1)), "Ready", "True")

    assert condition(api.get(stuck), "Ready") == "False"


def test_an_image_tagged_ready_after_turns_ready_that_much_later(
    api: ApiClient, namespace: str, make_pool: MakePool
) -> None:
    slow = create_pod(api, namespace, "slow", pod(make_pool(), gpus=1, image="predictor:ready-after-3s"))

    wait_for_condition(api, slow, "Ready", "True")

    conditions = {each["type"]: each["lastTransitionTime"] for each in api.get(slow)["status"]["conditions"]}
    assert conditions["Ready"] > conditions["Initialized"]


def test_an_annotation_says_what_an_image_tag_says(api: ApiClient, namespace: str, make_pool: MakePool) -> None:
    pool = make_pool()
    pods = f"/api/v1/namespaces/{namespace}/pods"
    annotations = {"cluster.kat/never-ready": "true"}
    api.create(pods, {"metadata": {"name": "stuck", "annotations": annotations}, "spec": pod(pool, gpus=1)})
    wait_until(lambda: api.get(f"{pods}/stuck")["status"].get("podIP"), seconds=SECONDS, what="the pod started")

    wait_for_condition(api, create_pod(api, namespace, "other", pod(pool, gpus=1)), "Ready", "True")

    assert condition(api.get(f"{pods}/stuck"), "Ready") == "False"


def test_an_image_tagged_stops_after_takes_that_long_to_end(
    api: ApiClient, namespace: str, make_pool: MakePool
) -> None:
    pool = make_pool()
    slow = create_pod(api, namespace, "slow", pod(pool, gpus=1, image="predictor:stops-after-1h"))
    quick = create_pod(api, namespace, "quick", pod(pool, gpus=1))
    for path in (slow, quick):
        wait_for_condition(api, path, "Ready", "True")

    api.delete(slow)
    api.delete(quick)

    wait_until(lambda: not api.exists(quick), seconds=SECONDS, what="the other pod ended")
    assert api.get(slow)["metadata"]["deletionTimestamp"]


def test_pods_of_a_node_that_is_removed_are_replaced_elsewhere(
    control_plane: ControlPlane, api: ApiClient, namespace: str, make_pool: MakePool
) -> None:
    pool = make_pool(2, gpus=8)
    deployment = create_deployment(api, namespace, pod(pool, gpus=4), replicas=2)
    wait_until(lambda: api.get(deployment)["status"].get("readyReplicas") == 2, seconds=SECONDS, what="2 replicas")

    control_plane.remove_node(pool.nodes[0])

    def nodes() -> list[str]:
        pods = api.get(f"/api/v1/namespaces/{namespace}/pods")["items"]
        return [each["spec"].get("nodeName") for each in pods if condition(each, "Ready") == "True"]

    wait_until(lambda: nodes() == [pool.nodes[1]] * 2, seconds=SECONDS, what="both replicas on the node that is left")


def test_pods_of_a_lost_node_are_not_ready_and_are_replaced(
    control_plane: ControlPlane, api: ApiClient, namespace: str, make_pool: MakePool
) -> None:
    pool = make_pool(2, gpus=8)
    deployment = create_deployment(api, namespace, pod(pool, gpus=8), replicas=1)
    wait_until(lambda: api.get(deployment)["status"].get("readyReplicas") == 1, seconds=SECONDS, what="a replica")
    [first] = api.get(f"/api/v1/namespaces/{namespace}/pods")["items"]

    control_plane.lose_node(first["spec"]["nodeName"])

    wait_until(lambda: not api.get(deployment)["status"].get("readyReplicas"), seconds=SECONDS, what="no replica ready")
    wait_until(lambda: api.get(deployment)["status"].get("readyReplicas") == 1, seconds=SECONDS, what="another replica")


def test_a_service_account_may_do_what_its_role_grants_and_no_more(
    control_plane: ControlPlane, api: ApiClient, namespace: str
) -> None:
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}
    api.create(f"{rbac}/roles", {"metadata": {"name": "reader"}, "rules": [rule]})
    api.create(
        f"{rbac}/rolebindings",
        {
            "metadata": {"name": "reader"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
            "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}],
        },
    )
    token = control_plane.token_for(namespace, "default")

    with closing(ApiClient(control_plane.url, tls(control_plane.ca), token=token)) as reader:

        def may_list(resource: str) -> bool:
            try:
                reader.get(f"/api/v1/namespaces/{namespace}/{resource}")
            except httpx.HTTPStatusError as error:
                if error.response.status_code != httpx.codes.FORBIDDEN:
                    raise
                return False
            return True

        # The authorizer hears of a new role a moment later.
        wait_until(lambda: may_list("pods"), seconds=SECONDS, what="the role in force")
        assert not may_list("secrets")


def test_objects_outlive_a_crash_of_the_api_server(control_plane: ControlPlane, api: ApiClient, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    before = api.create(path, {"metadata": {"name": "kept"}, "data": {"answer": "42"}})

    control_plane.restart_api_server()

    assert api.get(f"{path}/kept")["metadata"]["uid"] == before["metadata"]["uid"]


def inference_service(pool: GpuPool, *, image: str) -> Json:
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": "model",
            "annotations": {
                "serving.kserve.io/deploymentMode": "Standard",
                "serving.kserve.io/autoscalerClass": "external",
            },
        },
        "spec": {
            "predictor": {
                "nodeSelector": pool.selector,
                "containers": [
                    {
                        "name": "kserve-container",
                        "image": image,
                        "resources": {"limits": {"nvidia.com/gpu": "1"}},
                    }
                ],
            }
        },
    }


def test_an_outside_scale_survives_the_reconcile_of_kserve(api: ApiClient, namespace: str, make_pool: MakePool) -> None:
    services = f"/apis/serving.kserve.io/v1beta1/namespaces/{namespace}/inferenceservices"
    deployment = f"/apis/apps/v1/namespaces/{namespace}/deployments/model-predictor"
    service = inference_service(make_pool(), image="predictor:1")
    api.create(services, service)
    wait_for_condition(api, f"{services}/model", "Ready", "True")

    api.merge(f"{deployment}/scale", {"spec": {"replicas": 3}})
    # A new image makes KServe write the Deployment again: had it a number of replicas of its own, it would be there now.
    containers = [{**service["spec"]["predictor"]["containers"][0], "image": "predictor:2"}]
    api.merge(f"{services}/model", {"spec": {"predictor": {"containers": containers}}})

    def image() -> str:
        name: str = api.get(deployment)["spec"]["template"]["spec"]["containers"][0]["image"]
        return name

    wait_until(lambda: image() == "predictor:2", seconds=SECONDS, what="KServe wrote the Deployment")
    wait_until(
        lambda: api.get(deployment)["status"].get("updatedReplicas") == 3, seconds=SECONDS, what="3 new replicas"
    )
    assert api.get(deployment)["spec"]["replicas"] == 3


def test_an_inference_service_that_kserve_cannot_serve_is_refused(
    api: ApiClient, namespace: str, make_pool: MakePool
) -> None:
    service = inference_service(make_pool(), image="predictor:1")
    service["spec"]["predictor"] |= {"minReplicas": 3, "maxReplicas": 2}

    with pytest.raises(httpx.HTTPStatusError, match="admission webhook"):
        api.create(f"/apis/serving.kserve.io/v1beta1/namespaces/{namespace}/inferenceservices", service)


def test_a_stopped_cluster_leaves_neither_processes_nor_files(tmp_path: Path) -> None:
    with ControlPlane.start(tmp_path / "cluster", options=Options(kserve=False)) as cluster:
        pids = cluster.pids()

    assert not any(is_alive(pid) for pid in pids)
    assert not (tmp_path / "cluster").exists()


def test_no_process_of_a_cluster_outlives_a_killed_parent(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib, signal\n"
        "from tools.cluster.control_plane import ControlPlane, Options\n"
        "cluster = ControlPlane.start(pathlib.Path(sys.argv[1]), options=Options(kserve=False))\n"
        "print(*cluster.pids(), flush=True)\n"
        "signal.pause()\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "cluster")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        os.kill(parent.pid, signal.SIGKILL)

    assert pids
    wait_until(lambda: not any(is_alive(pid) for pid in pids), seconds=10, what="all processes ended")
