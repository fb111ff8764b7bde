"""KServe's own controller and webhooks on loopback, from the configuration that comes with its source.

What its installation leaves to cert-manager and to a Service is put here directly: the webhooks' certificate, and URLs
on loopback instead of a Service that only pods reach.
"""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import yaml

from tools.cluster.api_client import ApiClient, Json, wait_until
from tools.cluster.certificates import Pair
from tools.cluster.components import LOOPBACK

NAMESPACE: Final = "kserve"
_CONFIG_MAP: Final = "inferenceservice-config"
CRDS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_WEBHOOKS: Final = {
    "MutatingWebhookConfiguration": "mutatingwebhookconfigurations",
    "ValidatingWebhookConfiguration": "validatingwebhookconfigurations",
}
_NOT_RUN: Final = ("llminferenceservice", "localmodel")
"""Kinds of KServe's other controllers. Their definitions are large, and one wants a conversion webhook."""
_ESTABLISHED_SECONDS: Final = 30


def install(api: ApiClient, config: Path) -> None:
    """The definitions and the configuration that the controller reads when it starts."""
    install_definitions(api, config)
    api.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    for document in _documents(config / "configmap"):
        if document["metadata"]["name"] == _CONFIG_MAP:
            api.create(f"/api/v1/namespaces/{NAMESPACE}/configmaps", _configured(document))


def install_definitions(api: ApiClient, config: Path) -> None:
    """InferenceService and the other kinds of the controller, served."""
    for crd in _documents(config / "crd" / "full"):
        if not any(part in crd["metadata"]["name"] for part in _NOT_RUN):
            api.create(CRDS, crd)
    wait_until(lambda: _established(api), seconds=_ESTABLISHED_SECONDS, what="KServe's definitions established")


def install_webhooks(api: ApiClient, config: Path, *, port: int, authority: Path) -> None:
    """Have the API server ask the controller. Only once that answers: until then every InferenceService is refused."""
    for document in _documents(config / "webhook"):
        if document["kind"] in _WEBHOOKS:
            plural = _WEBHOOKS[document["kind"]]
            api.create(f"/apis/admissionregistration.k8s.io/v1/{plural}", _on_loopback(document, port, authority))


def place_certificate(folder: Path, pair: Pair) -> dict[str, str]:
    """Put the webhooks' certificate where the controller looks for it; the environment that makes it look there."""
    target = folder / "k8s-webhook-server" / "serving-certs"
    target.mkdir(parents=True)
    shutil.copy(pair.certificate, target / "tls.crt")
    shutil.copy(pair.key, target / "tls.key")
    return {"TMPDIR": str(folder), "POD_NAMESPACE": NAMESPACE}


def manager(binary: Path, *, webhook: int, probe: str, metrics: str) -> list[str]:
    """The controller's command line: the port of its webhooks, and addresses of its health and its metrics."""
    return [
        str(binary),
        f"--webhook-port={webhook}",
        f"--health-probe-addr={probe}",
        f"--metrics-addr={metrics}",
    ]


def _established(api: ApiClient) -> bool:
    return all(
        any(
            each["type"] == "Established" and each["status"] == "True" for each in crd["status"].get("conditions") or []
        )
        for crd in api.get(CRDS)["items"]
    )


def _documents(path: Path) -> Iterator[Json]:
    for file in sorted(path.rglob("*.yaml")):
        # The definitions are megabytes: libyaml reads them in a tenth of the time.
        for document in yaml.load_all(file.read_text(), Loader=yaml.CSafeLoader):
            if document and document["kind"] != "Kustomization":
                yield document


def _configured(config_map: Json) -> Json:
    """Standard mode for all, and no Ingress: without its controller, no InferenceService would ever be ready."""
    data = dict(config_map["data"])
    ingress = {**json.loads(data["ingress"]), "disableIngressCreation": True}
    deploy = {**json.loads(data["deploy"]), "defaultDeploymentMode": "Standard"}
    data |= {"ingress": json.dumps(ingress), "deploy": json.dumps(deploy)}
    return {**config_map, "metadata": {"name": _CONFIG_MAP, "namespace": NAMESPACE}, "data": data}


def _on_loopback(configuration: Json, port: int, authority: Path) -> Json:
    bundle = base64.b64encode(authority.read_bytes()).decode()
    webhooks = []
    for webhook in configuration["webhooks"]:
        path = webhook["clientConfig"]["service"]["path"]
        url = f"https://{LOOPBACK}:{port}{path}"
        webhooks.append({**webhook, "clientConfig": {"url": url, "caBundle": bundle}})
    return {**configuration, "metadata": {"name": configuration["metadata"]["name"]}, "webhooks": webhooks}
