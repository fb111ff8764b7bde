"""The chart on a real API server: what it takes, and a release from its install to its uninstall."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tests.fakes.chart_values import CHART_VALUES
from tests.fakes.cluster import SECONDS, MakePool
from tests.fakes.cluster_services import Services
from tests.fakes.helm import CHART, SECRETS, Helm
from tests.fakes.operator_process import OperatorProcess
from tools.cluster.api_client import ApiClient, wait_until
from tools.cluster.control_plane import ControlPlane

Manifest = dict[str, Any]
MakeOperator = Callable[..., OperatorProcess]

RELEASE: Final = "kat"
POD_KINDS: Final = {"Deployment", "StatefulSet", "Job"}
EVERY_VALUES: Final = pytest.mark.parametrize("values", CHART_VALUES.values(), ids=CHART_VALUES.keys())


@pytest.fixture
def namespace(control_plane: ControlPlane, namespace: str) -> str:
    """One that takes no pods but those of the restricted Pod Security Standard."""
    label = {"pod-security.kubernetes.io/enforce": "restricted"}
    control_plane.api.merge(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": label}})
    return namespace


@pytest.fixture
def api(definitions: ControlPlane) -> ApiClient:
    return definitions.api


@pytest.fixture
def helm(definitions: ControlPlane, tmp_path: Path) -> Helm:
    folder = tmp_path / "helm"
    folder.mkdir()
    return Helm(folder, kubeconfig=definitions.kubeconfig)


@pytest.fixture
def collection(api: ApiClient) -> Callable[[Manifest], str]:
    """Where objects of a manifest's kind are made, as the API server itself tells."""

    def collection(manifest: Manifest) -> str:
        version = manifest["apiVersion"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        (resource,) = [
            each for each in api.get(root)["resources"] if each["kind"] == manifest["kind"] and "/" not in each["name"]
        ]
        inside = f"/namespaces/{manifest['metadata']['namespace']}" if resource["namespaced"] else ""
        return f"{root}{inside}/{resource['name']}"

    return collection


def rendered(helm: Helm, values: Manifest, namespace: str) -> list[Manifest]:
    return helm.render(namespace=namespace, values={**values, "namePrefix": namespace})


def pod_of(workload: Manifest) -> Manifest:
    """As its controller would make it, but for the ServiceAccount, which is not there."""
    template = workload["spec"]["template"]
    spec = {name: value for name, value in template["spec"].items() if name != "serviceAccountName"}
    claims = [each["metadata"]["name"] for each in workload["spec"].get("volumeClaimTemplates", ())]
    volumes = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims]
    spec["volumes"] = [*spec.get("volumes", ()), *volumes]
    return {"metadata": {"generateName": "pod-", "labels": template["metadata"]["labels"]}, "spec": spec}


@EVERY_VALUES
def test_the_api_server_takes_every_manifest(
    helm: Helm, api: ApiClient, namespace: str, collection: Callable[[Manifest], str], values: Manifest
) -> None:
    for manifest in rendered(helm, values, namespace):
        api.create(collection(manifest), manifest, dryRun="All", fieldValidation="Strict")


@pytest.mark.parametrize(
    ("kind", "spec", "words"),
    [
        ("PodMonitor", {"selector": {}, "podMetricsEndpoints": [{"interval": "soon"}]}, "interval"),
        ("ServiceMonitor", {"selector": {}, "endpoints": [{"prot": "http"}]}, "prot"),
        ("PrometheusRule", {"groups": [{"name": "a", "rules": [{"record": "a"}]}]}, "expr"),
        ("Cluster", {"instances": 0}, "instances"),
    ],
)
def test_it_would_have_refused_a_bad_object_of_another_operator(
    api: ApiClient, namespace: str, collection: Callable[[Manifest], str], kind: str, spec: Manifest, words: str
) -> None:
    version = "postgresql.cnpg.io/v1" if kind == "Cluster" else "monitoring.coreos.com/v1"
    manifest = {
        "apiVersion": version, "kind": kind, "metadata": {"name": "a", "namespace": namespace}, "spec": spec,
    }  # fmt: skip

    with pytest.raises(httpx.HTTPStatusError, match=words):
        api.create(collection(manifest), manifest, dryRun="All", fieldValidation="Strict")


def test_rights_in_some_namespaces_are_taken(
    helm: Helm, api: ApiClient, namespace: str, collection: Callable[[Manifest], str]
) -> None:
    values = {**SECRETS, "operator": {"namespaces": [namespace]}}

    bindings = [each for each in rendered(helm, values, namespace) if each["kind"] == "RoleBinding"]
    for manifest in bindings:
        api.create(collection(manifest), manifest, dryRun="All", fieldValidation="Strict")
    assert len(bindings) == 2


@EVERY_VALUES
def test_every_pod_is_within_the_restricted_standard(
    helm: Helm, api: ApiClient, namespace: str, values: Manifest
) -> None:
    for workload in rendered(helm, values, namespace):
        if workload["kind"] in POD_KINDS:
            api.create(f"/api/v1/namespaces/{namespace}/pods", pod_of(workload), dryRun="All")


def test_a_pod_beyond_the_restricted_standard_would_have_been_refused(api: ApiClient, namespace: str) -> None:
    pod = {"metadata": {"generateName": "pod-"}, "spec": {"containers": [{"name": "a", "image": "a"}]}}

    with pytest.raises(httpx.HTTPStatusError, match="violates PodSecurity"):
        api.create(f"/api/v1/namespaces/{namespace}/pods", pod, dryRun="All")


class Release:
    """A release of the chart in a namespace, on one node of its own; not installed."""

    def __init__(self, helm: Helm, api: ApiClient, namespace: str, selector: dict[str, str]) -> None:
        self._helm = helm
        self._api = api
        self._namespace = namespace
        self.values: Manifest = {
            **SECRETS,
            "namePrefix": namespace,
            "operator": {"nodeSelector": selector, "namespaces": [namespace]},
            "metering": {"nodeSelector": selector},
            "networkPolicy": {"enabled": True},
            "monitoring": {"enabled": True, "rules": {"enabled": True}, "dashboards": {"enabled": True}},
            "services": {
                "kat": {
                    "model": {"uri": "default", "engine": "transformers"},
                    "pools": [{"name": "p0", "gpusPerReplica": 0, "nodeSelector": selector, "cpu": 1, "memory": "1Gi"}],
                }
            },
        }

    def install(self) -> None:
        self._run_hooks(self._helm.start("install", RELEASE, CHART, *self._there(), values=self.values))

    def upgrade(self, **metering: Any) -> None:
        values = {**self.values, "metering": {**self.values["metering"], **metering}}
        self._run_hooks(self._helm.start("upgrade", RELEASE, CHART, *self._there(), values=values))

    def rollback(self) -> None:
        self._helm.run("rollback", RELEASE, "1", *self._there())

    def uninstall(self) -> None:
        self._helm.run("uninstall", RELEASE, *self._there())

    def ready(self, part: str) -> int:
        """Ready replicas of a Deployment; -1 where it is not there."""
        path = f"/apis/apps/v1/namespaces/{self._namespace}/deployments/{self._namespace}-{part}"
        if not self._api.exists(path):
            return -1
        ready: int = self._api.get(path)["status"].get("readyReplicas", 0)
        return ready

    def _there(self) -> tuple[str, ...]:
        return "--namespace", self._namespace, "--wait", "--timeout", f"{SECONDS}s"

    def _run_hooks(self, helm: subprocess.Popen[str]) -> None:
        """Let it end. Nothing runs in pods here, so the test says of the migrations that they are done."""
        pods = f"/api/v1/namespaces/{self._namespace}/pods"

        def ended() -> bool:
            for pod in self._api.get(pods, labelSelector="app.kubernetes.io/component=migrations")["items"]:
                if pod["status"]["phase"] != "Succeeded":
                    self._api.merge(f"{pods}/{pod['metadata']['name']}/status", {"status": {"phase": "Succeeded"}})
            return helm.poll() is not None

        wait_until(ended, seconds=2 * SECONDS, what="helm")
        words, _ = helm.communicate()
        assert helm.returncode == 0, words


@pytest.fixture
def release(helm: Helm, definitions: ControlPlane, namespace: str, make_pool: MakePool) -> Iterator[Release]:
    """Its ClusterRoles would outlive the namespace, so that a test which fails leaves none either."""
    api = definitions.api
    for name in ("kat-tokens", "kat-database"):
        api.create(f"/api/v1/namespaces/{namespace}/secrets", {"metadata": {"name": name}})
    yield Release(helm, api, namespace, make_pool().selector)
    for kind in ("clusterroles", "clusterrolebindings"):
        for name in ("operator", "operator-capacity", "services-view", "services-edit"):
            api.delete(f"/apis/rbac.authorization.k8s.io/v1/{kind}/{namespace}-{name}")


def test_a_release_is_installed_upgraded_rolled_back_and_uninstalled(release: Release) -> None:
    release.install()
    counts = [release.ready("metering")]
    release.upgrade(replicas=3)
    counts.append(release.ready("metering"))
    release.rollback()
    wait_until(lambda: release.ready("metering") == 2, seconds=SECONDS, what="the first revision's replicas")
    release.uninstall()
    counts.append(release.ready("metering"))

    assert counts == [2, 3, -1]


def test_secrets_that_helm_makes_outlive_upgrades_and_the_release(
    helm: Helm, api: ApiClient, release: Release, namespace: str
) -> None:
    def secrets() -> list[dict[str, str]]:
        path = f"/api/v1/namespaces/{namespace}/secrets/{namespace}"
        return [api.get(f"{path}-{name}")["data"] for name in ("tokens", "postgres")]

    values = {**release.values, "tokens": {"generate": True}, "database": {"mode": "trial"}}
    there = "--namespace", namespace
    helm.run("install", RELEASE, CHART, *there, values=values)
    found = [secrets()]
    helm.run("upgrade", RELEASE, CHART, *there, "--no-hooks", values=values)
    found.append(secrets())
    helm.run("uninstall", RELEASE, *there)
    helm.run("install", RELEASE, CHART, *there, values=values)
    found.append(secrets())
    helm.run("uninstall", RELEASE, *there)

    assert found == [found[0]] * 3


def test_a_service_of_a_release_becomes_ready_under_the_rights_that_it_grants(
    release: Release, services: Services, control_plane: ControlPlane, namespace: str, make_operator: MakeOperator
) -> None:
    release.install()
    account = f"{namespace}-operator"
    operator = make_operator(control_plane.kubeconfig_for(namespace, account), KAT_OPERATOR_LEASE_NAME=account)
    operator.start()

    services.wait_ready("kat", 1)
