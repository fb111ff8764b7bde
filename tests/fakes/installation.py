"""The chart as it is installed on a node that really runs pods, and what tests ask of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
from kubernetes.client import CoreV1Api
from kubernetes.config import new_client_from_config
from kubernetes.stream import stream

from tests.fakes.cluster import SECONDS
from tests.fakes.cluster_services import Services
from tests.fakes.helm import CHART, Helm
from tools.cluster.api_client import ApiClient, Json, wait_until
from tools.cluster.node.real_node import RealCluster

EXAMPLE: Final = CHART / "examples" / "cpu-trial.yaml"
NAMESPACE: Final = "kat-system"
RELEASE: Final = "kat"
SERVICE: Final = "small"
"""The AutoThinkService of the example."""
POOL: Final = "cpu"
MODEL: Final = "smollm2-135m"
TENANT: Final = "acme"


@dataclass(frozen=True, kw_only=True)
class Installation:
    """A release that runs, with a tenant and a key. All addresses are Services', which this machine reaches."""

    cluster: RealCluster
    helm: Helm
    values: Mapping[str, Any]
    """What the release was installed with, over the example's values."""
    url: str
    """Of the predictors; OpenAI's base URL is that and `/v1`."""
    api_key: str
    """Of TENANT."""
    metering_url: str
    admin_token: str
    service_token: str
    database_url: str = field(repr=False)
    """postgresql://, as the user `kat`, whom the schema belongs to."""

    @property
    def api(self) -> ApiClient:
        """The cluster's API server, as an administrator."""
        return self.cluster.control_plane.api

    @property
    def services(self) -> Services:
        """The AutoThinkServices of the namespace; the one there is: SERVICE, on POOL."""
        return Services(self.api, NAMESPACE)

    def upgrade(self, changes: Mapping[str, Any] | None = None, *arguments: str) -> str:
        """`helm upgrade` with the values of the release and `changes` over them, by key at the top.

        It returns when the migrations have run and the objects are changed; with `--wait`, when the pods are, too.
        """
        values = {**self.values, **(changes or {})}
        told = ("--namespace", NAMESPACE, "--values", str(EXAMPLE), *arguments)
        return self.helm.run("upgrade", RELEASE, CHART, *told, values=values)

    def release(self) -> Json:
        """`helm status`, with the hooks and how each went."""
        told: Json = json.loads(self.helm.run("status", RELEASE, "--namespace", NAMESPACE, "--output", "json"))
        return told

    def pods(self, part: str | None = None) -> list[Json]:
        """Pods of the namespace that run and are not to end; of a part (operator, metering, postgres) or all."""
        query = {} if part is None else {"labelSelector": f"app.kubernetes.io/component={part}"}
        found = self.api.get(f"/api/v1/namespaces/{NAMESPACE}/pods", **query)["items"]
        return [
            pod for pod in found if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
        ]

    def wait_rolled_out(self, *, seconds: float) -> None:
        """Until every workload has the pods that it was last told to have, and none ends any more. Raises NotReady."""
        wait_until(self._rolled_out, seconds=seconds, what="every workload is rolled out")

    def _rolled_out(self) -> bool:
        kinds = ("deployments", "statefulsets")
        found = [
            each for kind in kinds for each in self.api.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/{kind}")["items"]
        ]
        pods = self.api.get(f"/api/v1/namespaces/{NAMESPACE}/pods")["items"]
        return all(map(_as_told, found)) and not any("deletionTimestamp" in pod["metadata"] for pod in pods)

    def run(self, pod: Json, *command: str) -> str:
        """What a command prints in a pod's container, on both outputs."""
        name = pod["metadata"]["name"]
        with new_client_from_config(str(self.cluster.control_plane.kubeconfig)) as client:
            connect = CoreV1Api(client).connect_get_namespaced_pod_exec
            session = stream(
                connect, name, NAMESPACE, command=list(command), stdout=True, stderr=True, _preload_content=False
            )
            session.run_forever(timeout=SECONDS)
            told = session.read_all()
            # Its own close() does nothing where the other side has closed already, and leaves the socket open.
            session.sock.shutdown()
        return str(told)

    def tenants(self) -> set[str]:
        """Those that metering knows; none while it cannot say."""
        headers = {"Authorization": f"Bearer {self.admin_token}"}
        try:
            answer = httpx.get(f"{self.metering_url}/v1/tenants", headers=headers, timeout=SECONDS)
        except httpx.TransportError:
            return set()
        return {each["id"] for each in answer.json()["tenants"]} if answer.is_success else set()

    def log(self, pod: str) -> str:
        """What the container of the pod of that name has said so far."""
        return self.api.text(f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}/log")


def _as_told(workload: Json) -> bool:
    status, wanted = workload["status"], workload["spec"]["replicas"]
    counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas")]
    return status.get("observedGeneration") == workload["metadata"]["generation"] and counts == [wanted] * 3


def address_of(api: ApiClient, service: str) -> str:
    """The address of a Service of the namespace, which this machine reaches."""
    return str(api.get(f"/api/v1/namespaces/{NAMESPACE}/services/{service}")["spec"]["clusterIP"])
