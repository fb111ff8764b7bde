"""AutoThinkServices on a cluster of tests, and what becomes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from tests.fakes.cluster import SECONDS, GpuPool, condition
from tools.cluster.api_client import ApiClient, Json, wait_until


def a_service(name: str, *pools: GpuPool, gpus: int = 8, image: str = "predictor:1", **spec: Any) -> Json:
    """A service on those pools, called p0, p1, …; `spec` is put over its own, in the names of the API."""
    return {
        "apiVersion": "autothink.dev/v1alpha1",
        "kind": "AutoThinkService",
        "metadata": {"name": name},
        "spec": {
            "model": {"uri": "default", "image": image},
            "pools": [
                {
                    "name": f"p{place}",
                    "gpusPerReplica": gpus,
                    "nodeSelector": pool.selector,
                    "cpu": "1",
                    "memory": "1Gi",
                }
                for place, pool in enumerate(pools)
            ],
            "replicas": {"min": 1, "max": 8},
            "autoscaling": {"intervalSeconds": 0.5, "scaleDownWindowSeconds": 1, "startupSeconds": 5},
            "metering": {
                "url": "http://metering.example",
                "serviceToken": {"name": "kat-service-token", "key": "token"},
            },
            "graceSeconds": 60,
            **spec,
        },
    }


class Services:
    """The AutoThinkServices of one namespace, and the objects that they consist of."""

    def __init__(self, api: ApiClient, namespace: str) -> None:
        self.api = api
        self.namespace = namespace
        self.path = f"/apis/autothink.dev/v1alpha1/namespaces/{namespace}/autothinkservices"

    def create(self, body: Mapping[str, Any]) -> Json:
        return self.api.create(self.path, body)

    def get(self, name: str) -> Json:
        return self.api.get(f"{self.path}/{name}")

    def change(self, name: str, **spec: Any) -> Json:
        """Put parts of its spec over what is there."""
        return self.api.merge(f"{self.path}/{name}", {"spec": spec})

    def inference_service(self, name: str, pool: str = "p0") -> str:
        return f"/apis/serving.kserve.io/v1beta1/namespaces/{self.namespace}/inferenceservices/{name}-{pool}"

    def deployment(self, name: str, pool: str = "p0") -> str:
        return f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{name}-{pool}-predictor"

    def uid(self, path: str) -> str | None:
        """Of the object there is at a path; None where there is none."""
        try:
            return str(self.api.get(path)["metadata"]["uid"])
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.NOT_FOUND:
                return None
            raise

    def pods(self, name: str) -> list[Json]:
        """Those that do not end."""
        found = self.api.get(f"/api/v1/namespaces/{self.namespace}/pods", labelSelector=f"autothink.dev/service={name}")
        return [pod for pod in found["items"] if "deletionTimestamp" not in pod["metadata"]]

    def ready_pods(self, name: str) -> list[Json]:
        return [pod for pod in self.pods(name) if condition(pod, "Ready") == "True"]

    def pending_pods(self, name: str) -> list[Json]:
        return [pod for pod in self.pods(name) if not pod["spec"].get("nodeName")]

    def remains(self, name: str) -> list[str]:
        """Paths of what there still is of a service."""
        group = f"/namespaces/{self.namespace}"
        paths = [
            f"{self.path}/{name}",
            f"/api/v1{group}/services/{name}",
            f"/apis/policy/v1{group}/poddisruptionbudgets/{name}",
            self.inference_service(name),
            self.deployment(name),
        ]
        return [path for path in paths if self.api.exists(path)] + [pod["metadata"]["name"] for pod in self.pods(name)]

    def told(self, name: str, kind: str) -> tuple[Any, Any]:
        """Status and reason of a condition; None where it has none such."""
        conditions = self.get(name).get("status", {}).get("conditions", [])
        return next(((each["status"], each["reason"]) for each in conditions if each["type"] == kind), (None, None))

    def message(self, name: str, kind: str) -> str:
        conditions = self.get(name).get("status", {}).get("conditions", [])
        return next((str(each.get("message", "")) for each in conditions if each["type"] == kind), "")

    def events(self, name: str) -> list[str]:
        """Reasons of the events about it."""
        found = self.api.get(f"/apis/events.k8s.io/v1/namespaces/{self.namespace}/events")["items"]
        return [each["reason"] for each in found if each["regarding"].get("name") == name]

    def wait_told(self, name: str, kind: str, status: str, reason: str | None = None) -> None:
        def is_told() -> bool:
            found = self.told(name, kind)
            return found[0] == status and reason in {None, found[1]}

        wait_until(is_told, seconds=SECONDS, what=f"{name} {kind}={status} {reason or ''}, not {self.told(name, kind)}")

    def wait_ready(self, name: str, replicas: int) -> None:
        """Until so many replicas are asked for and serve, and the status says so of the latest spec."""

        def is_ready() -> bool:
            found = self.get(name)
            status = found.get("status", {})
            return (
                status.get("observedGeneration") == found["metadata"]["generation"]
                and (status.get("replicas"), status.get("readyReplicas")) == (replicas, replicas)
                and len(self.ready_pods(name)) == replicas
            )

        wait_until(is_ready, seconds=SECONDS, what=f"{replicas} replicas of {name} ready")
