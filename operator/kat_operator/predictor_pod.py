"""The pod that a replica runs in: the predictor's container with its settings, probes, volumes and rights. Pure.

It is the part of an InferenceService's `spec.predictor` that a new pod is made of, in KServe's form of a custom container.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, Final, Literal

from kubernetes.utils.quantity import parse_quantity

from kat_operator.api import SERVICE_LABEL, AutoThinkServiceSpec, Engine, PoolSpec

CONTAINER: Final = "kserve-container"
"""As KServe wants it named."""
PORT: Final = 8_080
PORT_NAME: Final = "http"
MODEL_FOLDER: Final = "/mnt/models"
"""Where KServe's storage initializer puts what `STORAGE_URI` names."""
STATE_FOLDER: Final = "/var/lib/kat"

_BY_US: Final = "the operator"
OWN_SETTINGS: Final[Mapping[str, str]] = {
    "KAT_DEFAULT_MAX_TOKENS": "modePolicy.maxTokens",
    "KAT_DRAIN_SECONDS": _BY_US,
    "KAT_ENGINE": "model.engine",
    "KAT_ENGINE_ARGS": "model.engineArguments",
    "KAT_GRACE_SECONDS": "graceSeconds",
    "KAT_HOME": _BY_US,
    "KAT_HOST": _BY_US,
    "KAT_INSTANCE": _BY_US,
    "KAT_JUDGE": "modePolicy.judge",
    "KAT_MAX_CONCURRENT_REQUESTS": "autoscaling.requestsPerReplica",
    "KAT_MAX_MODEL_LEN": "model.contextTokens",
    "KAT_METERING_URL": "metering.url",
    "KAT_MODEL": "model.uri",
    "KAT_MODEL_NAME": "model.name",
    "KAT_OUTBOX_PATH": _BY_US,
    "KAT_PORT": _BY_US,
    "KAT_SERVICE_TOKEN": "metering.serviceToken",
    "KAT_THINK_BUDGET": "modePolicy.thinkBudgetTokens",
    "STORAGE_URI": "model.uri",
}
"""Environment variables that a service's `settings` may not have, and what decides them."""

PRE_STOP_SECONDS: Final = 5
"""A pod that ends leaves its Services while SIGTERM is sent, not before: the port stays open for so long."""
DRAIN_SECONDS: Final = 300
"""That the outbox gets to reach metering, for it goes with the pod: longer than metering takes to come back, mostly."""
ENDING_SECONDS: Final = 25
"""What the predictor takes beside that after its grace period: last requests, traces. See docs/operations.md."""
_SHARED_MEMORY: Final = "2Gi"
"""For the processes of one vLLM engine; it counts as memory of the container."""


@dataclass(frozen=True, slots=True)
class PredictorOptions:
    """What the predictors of all services share."""

    image: str
    """For services that name none."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    run_as_user: int | None = 1_000
    """User and group of the processes. None leaves it to the image or the platform, as OpenShift wants it."""


def predictor_pod(
    service: str, spec: AutoThinkServiceSpec, pool: PoolSpec, options: PredictorOptions
) -> dict[str, Any]:
    """A pool's pod template, as `spec.predictor` of an InferenceService."""
    pod: dict[str, Any] = {
        "containers": [_container(spec, pool, options)],
        "volumes": [{"name": volume["name"], "emptyDir": volume["emptyDir"]} for volume in _volumes(spec)],
        "securityContext": _pod_security(options),
        "automountServiceAccountToken": False,
        # A Service named `kat` would otherwise put a KAT_PORT into the environment, which is a setting of ours.
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": PRE_STOP_SECONDS + spec.grace_seconds + ENDING_SECONDS + DRAIN_SECONDS,
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {SERVICE_LABEL: service}},
            }
        ],
    }
    if spec.service_account_name is not None:
        pod["serviceAccountName"] = spec.service_account_name
    if pool.node_selector:
        pod["nodeSelector"] = dict(sorted(pool.node_selector.items()))
    if pool.tolerations:
        pod["tolerations"] = [
            toleration.model_dump(by_alias=True, exclude_none=True) for toleration in pool.tolerations
        ]
    return pod


def engine_arguments(spec: AutoThinkServiceSpec, pool: PoolSpec) -> dict[str, Any]:
    """Engine arguments of vLLM for a pool: what the fields say, over that the model's, over these the pool's.

    One GPU is vLLM's own default, and is not said: so `engine: auto` still starts where only transformers is installed.
    """
    arguments: dict[str, Any] = {}
    if pool.gpus_per_replica > 1 and spec.model.engine is not Engine.TRANSFORMERS:
        arguments["tensor_parallel_size"] = pool.gpus_per_replica
    if spec.model.quantization is not None:
        arguments["quantization"] = spec.model.quantization
    for told in (spec.model.engine_arguments, pool.engine_arguments):
        # `vllm serve` spells them with dashes, its Python interface with underscores.
        arguments |= {name.removeprefix("--").replace("-", "_"): value for name, value in told.items()}
    return arguments


def environment(spec: AutoThinkServiceSpec, pool: PoolSpec) -> list[dict[str, Any]]:
    """The predictor's settings, as `env` of its container."""
    model, policy = spec.model, spec.mode_policy
    told: dict[str, str | None] = {
        "KAT_MODEL": MODEL_FOLDER if model.storage_uri is not None else model.uri,
        "KAT_MODEL_NAME": model.served_name,
        "KAT_ENGINE": model.engine,
        "KAT_MAX_MODEL_LEN": None if model.context_tokens is None else str(model.context_tokens),
        "KAT_JUDGE": policy.judge,
        "KAT_THINK_BUDGET": None if policy.think_budget_tokens is None else str(policy.think_budget_tokens),
        "KAT_DEFAULT_MAX_TOKENS": str(policy.max_tokens),
        "KAT_MAX_CONCURRENT_REQUESTS": str(spec.autoscaling.requests_per_replica),
        "KAT_GRACE_SECONDS": str(spec.grace_seconds),
        "KAT_DRAIN_SECONDS": str(DRAIN_SECONDS),
        "KAT_METERING_URL": spec.metering.url,
        "KAT_PORT": str(PORT),
        "KAT_HOME": STATE_FOLDER,
        "KAT_OUTBOX_PATH": f"{STATE_FOLDER}/outbox",
        # Libraries keep their caches there; the image's own file system is read-only.
        "HOME": STATE_FOLDER,
        # KServe brings the weights: no replica asks the hub for anything.
        "HF_HUB_OFFLINE": "1",
        # Rewritten by KServe in the pod, after it has seen where the weights are.
        "STORAGE_URI": model.storage_uri,
    }
    if arguments := engine_arguments(spec, pool):
        told["KAT_ENGINE_ARGS"] = json.dumps(arguments, sort_keys=True, separators=(",", ":"))
    if pool.gpus_per_replica == 0:
        # Torch would take a thread for each core of the node, however few the pod may use, and have them wait for one another.
        told["OMP_NUM_THREADS"] = str(max(1, ceil(parse_quantity(pool.cpu))))
    more = {name: value for name, value in sorted(spec.settings.items()) if name not in OWN_SETTINGS}
    plain = {**told, **more}
    return [
        *({"name": name, "value": _literal(value)} for name, value in plain.items() if value is not None),
        {"name": "KAT_INSTANCE", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
        {
            "name": "KAT_SERVICE_TOKEN",
            "valueFrom": {
                "secretKeyRef": {"name": spec.metering.service_token.name, "key": spec.metering.service_token.key}
            },
        },
    ]


def _literal(value: str) -> str:
    """Kubernetes would put another variable's value in the place of `$(NAME)`."""
    return value.replace("$(", "$$(")


def _container(spec: AutoThinkServiceSpec, pool: PoolSpec, options: PredictorOptions) -> dict[str, Any]:
    return {
        "name": CONTAINER,
        "image": spec.model.image or options.image,
        "imagePullPolicy": options.image_pull_policy,
        "command": ["kat", "predictor", "serve"],
        "env": environment(spec, pool),
        "ports": [{"name": PORT_NAME, "containerPort": PORT, "protocol": "TCP"}],
        "resources": _resources(pool),
        "volumeMounts": [{"name": volume["name"], "mountPath": volume["mountPath"]} for volume in _volumes(spec)],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "lifecycle": {"preStop": {"sleep": {"seconds": PRE_STOP_SECONDS}}},
        # The port opens within seconds of a start, and liveness holds while the weights are loaded, however long that is:
        # a start is not judged by its time.
        "startupProbe": _probe("/v2/health/live", period=2, timeout=2, failures=90),
        "livenessProbe": _probe("/v2/health/live", period=5, timeout=3, failures=2),
        "readinessProbe": _probe("/v2/health/ready", period=2, timeout=2, failures=2),
    }


def _resources(pool: PoolSpec) -> dict[str, Any]:
    amounts = {"cpu": pool.cpu, "memory": pool.memory}
    if pool.gpus_per_replica > 0:
        amounts[pool.gpu_resource] = str(pool.gpus_per_replica)
    # Without limits KServe would set its own, one CPU and 2 GiB, below what is requested.
    return {"requests": amounts, "limits": dict(amounts)}


def _probe(path: str, *, period: int, timeout: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": PORT, "scheme": "HTTP"},
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "successThreshold": 1,
        "failureThreshold": failures,
    }


def _volumes(spec: AutoThinkServiceSpec) -> list[Mapping[str, Any]]:
    volumes: list[Mapping[str, Any]] = [
        # The outbox lies there: it outlives the container, and is drained before the pod ends.
        {"name": "state", "mountPath": STATE_FOLDER, "emptyDir": {}},
        {"name": "tmp", "mountPath": "/tmp", "emptyDir": {}},  # noqa: S108 - a path in the container
    ]
    if spec.model.engine is not Engine.TRANSFORMERS:
        volumes.append(
            {"name": "shm", "mountPath": "/dev/shm", "emptyDir": {"medium": "Memory", "sizeLimit": _SHARED_MEMORY}}  # noqa: S108 - as above
        )
    return volumes


def _pod_security(options: PredictorOptions) -> dict[str, Any]:
    security: dict[str, Any] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if options.run_as_user is not None:
        user = options.run_as_user
        security |= {"runAsUser": user, "runAsGroup": user, "fsGroup": user}
    return security
