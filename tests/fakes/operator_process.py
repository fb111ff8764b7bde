"""`kat operator run` as a process, under exactly the ServiceAccount that the chart grants."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import httpx
import yaml
from prometheus_client.parser import text_string_to_metric_families

from kat.processes import Part, port_or_free
from kat_operator.crd import custom_resource_definition
from tools.cluster.api_client import wait_until
from tools.cluster.control_plane import ControlPlane

RBAC: Final = Path(__file__).parents[2] / "charts" / "kat-serving" / "files" / "operator-rbac.yaml"
ACCOUNT: Final = "kat-operator"
WAIT_SECONDS: Final = 60
_PATHS: Final[Mapping[str, str]] = {
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts/{name}",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles/{name}",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings/{name}",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles/{name}",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{name}",
}


def install_definition(cluster: ControlPlane) -> None:
    """The CRD, served."""
    wanted = custom_resource_definition()
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{wanted['metadata']['name']}"
    cluster.api.apply(path, wanted)

    def established() -> bool:
        conditions = cluster.api.get(path).get("status", {}).get("conditions") or []
        return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)

    wait_until(established, seconds=WAIT_SECONDS, what="AutoThinkService established")


def install(cluster: ControlPlane, namespace: str) -> Path:
    """The definition, and the chart's ServiceAccount with its rights in a namespace of the test's own: its kubeconfig."""
    install_definition(cluster)
    for manifest in yaml.safe_load_all(RBAC.read_text()):
        kind, metadata = manifest["kind"], manifest["metadata"]
        if "namespace" in metadata:
            metadata["namespace"] = namespace
        if kind == "ClusterRoleBinding":
            metadata["name"] += f"-{namespace}"
        for subject in manifest.get("subjects", ()):
            subject["namespace"] = namespace
        cluster.api.apply(_PATHS[kind].format(namespace=metadata.get("namespace"), name=metadata["name"]), manifest)
    return cluster.kubeconfig_for(namespace, ACCOUNT)


def uninstall(cluster: ControlPlane, namespace: str) -> None:
    """Take away what does not go with the namespace."""
    for manifest in yaml.safe_load_all(RBAC.read_text()):
        if manifest["kind"] == "ClusterRoleBinding":
            path = _PATHS["ClusterRoleBinding"].format(name=f"{manifest['metadata']['name']}-{namespace}")
            cluster.api.delete(path)


class OperatorProcess:
    """An operator for one namespace, not started. `settings` are its own variables, over those that a test needs."""

    def __init__(self, kubeconfig: Path, namespace: str, folder: Path, **settings: str) -> None:
        port = port_or_free(0)
        self.url = f"http://127.0.0.1:{port}"
        self.part = Part(
            name="operator",
            argv=[str(Path(sys.executable).with_name("kat")), "operator", "run"],
            env={
                "KAT_OPERATOR_KUBECONFIG": str(kubeconfig),
                "KAT_OPERATOR_NAMESPACES": namespace,
                "KAT_OPERATOR_LEASE_NAMESPACE": namespace,
                "KAT_OPERATOR_HOST": "127.0.0.1",
                "KAT_OPERATOR_PORT": str(port),
                "KAT_OPERATOR_ACTIVATOR_PORT": "0",
                "KAT_OPERATOR_BACKOFF_SECONDS": "2",
                **settings,
            },
            log=folder / f"operator-{port}.log",
            ready_url=f"{self.url}/readyz",
        )

    def start(self) -> None:
        """Until it knows the cluster; whether it leads by then is another matter."""
        self.part.start()
        self.part.wait_ready(timeout=WAIT_SECONDS)

    def stop(self) -> None:
        self.part.stop(timeout=WAIT_SECONDS)

    def kill(self) -> None:
        """SIGKILL: it gives no lease back."""
        self.part.kill()

    def answers(self, path: str) -> bool:
        try:
            return httpx.get(f"{self.url}{path}", timeout=5).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def metric(self, name: str, **labels: str) -> float:
        """A sample's value; 0 where there is none."""
        text = httpx.get(f"{self.url}/metrics", timeout=5).text
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return sample.value
        return 0.0

    @property
    def leads(self) -> bool:
        return self.metric("kat_operator_leader") == 1
