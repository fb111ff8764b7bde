"""The objects that a service consists of in the cluster, as they ought to be. Pure.

Everything is told in one order, so that what is rendered twice compares equal. What KServe, the scheduler or the API
server add is left out, and is theirs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kat_operator.api import (
    GROUP,
    KIND,
    POOL_LABEL,
    SERVICE_LABEL,
    VERSION,
    AutoThinkServiceSpec,
    PoolSpec,
)
from kat_operator.predictor_pod import PORT, PORT_NAME, PredictorOptions, predictor_pod
from kat_operator.upgrade import Strategy

TEMPLATE_LABEL: Final = f"{GROUP}/template"
"""On a pool's InferenceService and pods: the hash of the template that they were made of. It changes with the template
alone, so it never rolls pods by itself."""
SERVICE_PORT: Final = 80
_LONGEST_SCRAPE_SECONDS: Final = 10


@dataclass(frozen=True, slots=True)
class Owner:
    """The AutoThinkService that objects are made for."""

    namespace: str
    name: str
    uid: str

    def reference(self) -> dict[str, Any]:
        """By which the objects go when the service goes.

        Without `blockOwnerDeletion`, which would need a permission more and is of use to foreground deletion alone.
        """
        return {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "name": self.name,
            "uid": self.uid,
            "controller": True,
        }


def inference_service_name(service: str, pool: str) -> str:
    """Of a pool's InferenceService."""
    return f"{service}-{pool}"


def deployment_name(service: str, pool: str) -> str:
    """Of the Deployment that KServe makes of a pool's InferenceService."""
    return f"{inference_service_name(service, pool)}-predictor"


def selector(service: str) -> str:
    """Label selector of all pods of a service, as a string."""
    return f"{SERVICE_LABEL}={service}"


def inference_service(
    owner: Owner, spec: AutoThinkServiceSpec, pool: PoolSpec, *, options: PredictorOptions, strategy: Strategy
) -> dict[str, Any]:
    """One pool's InferenceService. KServe makes a Deployment of it, whose size is left to us.

    Args:
        owner: the service.
        spec: what it wants.
        pool: one of its pools.
        options: what all services share.
        strategy: how pods are replaced. It is no part of the template.
    """
    predictor = predictor_pod(owner.name, spec, pool, options)
    labels = {**_labels(owner.name), POOL_LABEL: pool.name}
    # KServe copies an InferenceService's annotations to its pods: a value that changes here rolls them all.
    annotations = {
        "serving.kserve.io/deploymentMode": "Standard",
        "serving.kserve.io/autoscalerClass": "external",
    }
    digest = template_hash({"labels": labels, "annotations": annotations, "predictor": predictor})
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            **_metadata(owner, inference_service_name(owner.name, pool.name)),
            "labels": {**labels, TEMPLATE_LABEL: digest},
            "annotations": annotations,
        },
        "spec": {"predictor": {**predictor, "deploymentStrategy": strategy.to_json()}},
    }


def applied_template(inference_service: Mapping[str, Any]) -> str | None:
    """Hash of the template that an InferenceService or a pod was made of; None where it does not say."""
    labels: Mapping[str, str] = inference_service["metadata"].get("labels") or {}
    return labels.get(TEMPLATE_LABEL)


def applied_strategy(inference_service: Mapping[str, Any]) -> Strategy | None:
    """How an InferenceService's pods are replaced; None where that is none of our ways."""
    told = inference_service["spec"]["predictor"].get("deploymentStrategy")
    return next((strategy for strategy in Strategy if strategy.to_json() == told), None)


def template_hash(template: Mapping[str, Any]) -> str:
    """Ten hexadecimal digits that tell one template from another."""
    canonical = json.dumps(template, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:10]


def service(owner: Owner) -> dict[str, Any]:
    """One address for the ready pods of all pools."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {**_metadata(owner, owner.name), "labels": _labels(owner.name)},
        "spec": {
            "type": "ClusterIP",
            "selector": {SERVICE_LABEL: owner.name},
            "ports": [{"name": PORT_NAME, "port": SERVICE_PORT, "protocol": "TCP", "targetPort": PORT}],
        },
    }


def pod_monitor(owner: Owner, spec: AutoThinkServiceSpec) -> dict[str, Any]:
    """What has Prometheus read the pods, as often as decisions are made."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": {**_metadata(owner, owner.name), "labels": _labels(owner.name)},
        "spec": {
            "selector": {"matchLabels": {SERVICE_LABEL: owner.name}},
            # Become the labels autothink_dev_service and autothink_dev_pool of every series.
            "podTargetLabels": [SERVICE_LABEL, POOL_LABEL],
            "podMetricsEndpoints": [
                {
                    "port": PORT_NAME,
                    "path": "/metrics",
                    # Metrics that are seldom read count as stale; see `autoscaler.signals_reader`.
                    "interval": f"{min(_LONGEST_SCRAPE_SECONDS, max(1, int(spec.autoscaling.interval_seconds)))}s",
                }
            ],
        },
    }


def pod_disruption_budget(owner: Owner, spec: AutoThinkServiceSpec) -> dict[str, Any]:
    """What maintenance may take away at once, over all pools."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {**_metadata(owner, owner.name), "labels": _labels(owner.name)},
        "spec": {
            "maxUnavailable": spec.disruption.max_unavailable,
            "selector": {"matchLabels": {SERVICE_LABEL: owner.name}},
            # A pod that is not ready serves nobody: it must not keep its node from being drained.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }


def _metadata(owner: Owner, name: str) -> dict[str, Any]:
    return {"namespace": owner.namespace, "name": name, "ownerReferences": [owner.reference()]}


def _labels(service_name: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "kat-predictor",
        "app.kubernetes.io/instance": service_name,
        "app.kubernetes.io/component": "predictor",
        "app.kubernetes.io/part-of": "kat-serving",
        "app.kubernetes.io/managed-by": "kat-operator",
        SERVICE_LABEL: service_name,
    }
