"""The kinds of object that the operator reads or writes, and where the API server has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from kat_operator.api import GROUP, KIND, PLURAL, VERSION


class Key(NamedTuple):
    """Namespace and name. Of what has no namespace, the first is empty."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object, of one version."""

    group: str
    """Empty is the core group."""
    version: str
    kind: str
    plural: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Path of one object, or of all of a namespace, or of all."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root, *(("namespaces", namespace) if namespace else ()), self.plural, name, subresource]
        return "/".join(part for part in parts if part)


AUTO_THINK_SERVICE: Final = Kind(GROUP, VERSION, KIND, PLURAL)
INFERENCE_SERVICE: Final = Kind("serving.kserve.io", "v1beta1", "InferenceService", "inferenceservices")
DEPLOYMENT: Final = Kind("apps", "v1", "Deployment", "deployments")
POD: Final = Kind("", "v1", "Pod", "pods")
NODE: Final = Kind("", "v1", "Node", "nodes")
SERVICE: Final = Kind("", "v1", "Service", "services")
POD_MONITOR: Final = Kind("monitoring.coreos.com", "v1", "PodMonitor", "podmonitors")
POD_DISRUPTION_BUDGET: Final = Kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets")
ENDPOINT_SLICE: Final = Kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")
EVENT: Final = Kind("events.k8s.io", "v1", "Event", "events")
LEASE: Final = Kind("coordination.k8s.io", "v1", "Lease", "leases")

OWNED: Final = (INFERENCE_SERVICE, POD_MONITOR, POD_DISRUPTION_BUDGET, SERVICE, ENDPOINT_SLICE)
"""What the operator makes for a service: all of it, and nothing else, is applied and deleted."""

COMES_WITH: Final[Mapping[Kind, str]] = {
    AUTO_THINK_SERVICE: "the CRD of kat-serving's chart",
    INFERENCE_SERVICE: "KServe",
    POD_MONITOR: "the Prometheus operator",
}
"""What to install where the API server does not know a kind. The others are Kubernetes' own."""

_BY_TYPE: Final = {(kind.api_version, kind.kind): kind for kind in OWNED}


def kind_of(body: Mapping[str, Any]) -> Kind:
    """The kind of an object that the operator makes. Raises KeyError for any other."""
    return _BY_TYPE[body["apiVersion"], body["kind"]]


def key_of(body: Mapping[str, Any]) -> Key:
    metadata = body["metadata"]
    return Key(metadata.get("namespace", ""), metadata["name"])
