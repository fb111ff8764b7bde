"""KServe's controller as a pod of the real node, from KServe's own chart.

What the chart leaves to cert-manager is signed by the cluster's authority instead. The proxy in front of the
controller's metrics is left out: it is another project's image, and nothing reads them.
"""

from __future__ import annotations

import base64
import json
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tools.cluster import build, kserve
from tools.cluster.api_client import ApiClient, Json, wait_until
from tools.cluster.errors import BuildFailed
from tools.cluster.images import recipes
from tools.cluster.images.debian import Say, silent
from tools.cluster.node.real_node import RealCluster

_DEPLOYMENT: Final = f"/apis/apps/v1/namespaces/{kserve.NAMESPACE}/deployments/kserve-controller-manager"
_CERTIFICATE: Final = "kserve-webhook-server-cert"
_WEBHOOK_HOST: Final = f"kserve-webhook-server-service.{kserve.NAMESPACE}.svc"
_CERT_MANAGER: Final = "cert-manager.io/v1"
_PROXY: Final = "kube-rbac-proxy"
_ADMISSION: Final = "admissionregistration.k8s.io/v1"
_READY_SECONDS: Final = 180
"""Its readiness is first asked for after 30 s."""


def install(cluster: RealCluster, *, say: Say = silent) -> None:
    """Have the controller started in the namespace `kserve`. `wait_ready` before there are InferenceServices.

    For a cluster that runs none. Raises Unavailable and BuildFailed (see `tools.cluster.errors`).
    """
    binaries = build.binaries(*build.KSERVE, "helm", say=say)
    image = recipes.kserve_manager(binaries["kserve-manager"])
    cluster.load(image)
    control_plane = cluster.control_plane
    api = control_plane.api
    kserve.install_definitions(api, build.kserve_config(say))
    api.create("/api/v1/namespaces", {"metadata": {"name": kserve.NAMESPACE}})
    pair = control_plane.authority.sign("kserve-webhooks", hosts=[_WEBHOOK_HOST])
    api.create(
        f"/api/v1/namespaces/{kserve.NAMESPACE}/secrets",
        {
            "metadata": {"name": _CERTIFICATE},
            "type": "kubernetes.io/tls",
            "stringData": {"tls.crt": pair.certificate.read_text(), "tls.key": pair.key.read_text()},
        },
    )
    values = chart_values(image.name, cluster.NODE_SELECTOR)
    rendered = _render(binaries["helm"], build.kserve_charts(say) / "kserve-resources", values)
    for manifest in manifests(rendered, control_plane.ca.read_bytes()):
        api.apply(_path(api, manifest), manifest)


def wait_ready(cluster: RealCluster) -> None:
    """Return once the controller answers the API server's questions about InferenceServices. Raises NotReady."""
    api = cluster.control_plane.api
    wait_until(
        lambda: api.get(_DEPLOYMENT).get("status", {}).get("availableReplicas"),
        seconds=_READY_SECONDS,
        what="KServe's controller available",
    )


def chart_values(image: str, node_selector: Mapping[str, str]) -> dict[str, Any]:
    """Values for KServe's chart: our image, on those nodes; Standard mode for all, and no Ingress.

    Without an Ingress's controller, no InferenceService with an Ingress would ever be ready.
    """
    name, _, tag = image.partition(":")
    return {
        "kserve": {
            "controller": {
                "image": name,
                "tag": tag,
                "nodeSelector": dict(node_selector),
                "deploymentMode": "Standard",
                "gateway": {"disableIngressCreation": True},
            }
        }
    }


def manifests(rendered: str, authority: bytes) -> list[Json]:
    """What to apply of the rendered chart, webhooks last: from when they are there, the controller is asked.

    Args:
        rendered: what `helm template` printed.
        authority: PEM of who signed the webhooks' certificate.
    """
    found = [each for each in yaml.safe_load_all(rendered) if each and each["apiVersion"] != _CERT_MANAGER]
    for manifest in found:
        if manifest["kind"] == "Deployment":
            pod = manifest["spec"]["template"]["spec"]
            pod["containers"] = [each for each in pod["containers"] if each["name"] != _PROXY]
        for webhook in manifest.get("webhooks", ()):
            webhook["clientConfig"]["caBundle"] = base64.b64encode(authority).decode()
    return sorted(found, key=lambda manifest: manifest["apiVersion"] == _ADMISSION)


def _render(helm: Path, chart: Path, values: Mapping[str, Any]) -> str:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(values, file)
        file.flush()
        command = [str(helm), "template", "kserve", str(chart), "--namespace", kserve.NAMESPACE, "--values", file.name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    if done.returncode:
        raise BuildFailed(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def _path(api: ApiClient, manifest: Json) -> str:
    """Of the object, as the API server itself tells its kind's."""
    version, metadata = manifest["apiVersion"], manifest["metadata"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    kinds = api.get(root)["resources"]
    (resource,) = [each for each in kinds if each["kind"] == manifest["kind"] and "/" not in each["name"]]
    inside = f"/namespaces/{metadata['namespace']}" if resource["namespaced"] else ""
    return f"{root}{inside}/{resource['name']}/{metadata['name']}"
