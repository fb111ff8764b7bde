"""CoreDNS as a Deployment of the cluster, behind the Service `kube-dns`: names of Services, and no others."""

from __future__ import annotations

import socket
import struct
from typing import Any, Final

from tools.cluster.node.agents import DNS_DOMAIN

NAMESPACE: Final = "kube-system"
DEPLOYMENT: Final = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/coredns"
_RBAC: Final = "rbac.authorization.k8s.io"
_ANSWER_SECONDS: Final = 1
# RFC 1035, 4.1.
_RECURSE: Final = 0x0100
_TYPE_A: Final = 1
_INTERNET: Final = 1
_ANSWERS_AT: Final = 6

_LABELS: Final = {"k8s-app": "kube-dns"}
_COREFILE: Final = f"""\
.:53 {{
    errors
    ready
    kubernetes {DNS_DOMAIN} in-addr.arpa
    cache 5
}}
"""


def answers(address: str) -> bool:
    """Whether the API server's name is resolved at the Service's address, as a pod would ask."""
    name = b"".join(bytes([len(label)]) + label.encode() for label in f"kubernetes.default.svc.{DNS_DOMAIN}".split("."))
    query = struct.pack("!6H", 1, _RECURSE, 1, 0, 0, 0) + name + b"\0" + struct.pack("!2H", _TYPE_A, _INTERNET)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(_ANSWER_SECONDS)
        try:
            asking.connect((address, 53))
            asking.send(query)
            reply = asking.recv(512)
        except OSError:  # nobody is there yet: refused, or silence
            return False
    found: int = struct.unpack_from("!H", reply, _ANSWERS_AT)[0]
    return found > 0


def objects(*, image: str, address: str, node: str) -> dict[str, dict[str, Any]]:
    """What to apply, by path. `address` is the Service's; the pod runs on the node of that name."""
    return {
        f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/coredns": _object("v1", "ServiceAccount", "coredns"),
        f"/apis/{_RBAC}/v1/clusterroles/system:coredns": _object(
            f"{_RBAC}/v1",
            "ClusterRole",
            "system:coredns",
            namespace=None,
            rules=[
                {"apiGroups": [""], "resources": ["services", "namespaces"], "verbs": ["list", "watch"]},
                {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
            ],
        ),
        f"/apis/{_RBAC}/v1/clusterrolebindings/system:coredns": _object(
            f"{_RBAC}/v1",
            "ClusterRoleBinding",
            "system:coredns",
            namespace=None,
            roleRef={"apiGroup": _RBAC, "kind": "ClusterRole", "name": "system:coredns"},
            subjects=[{"kind": "ServiceAccount", "name": "coredns", "namespace": NAMESPACE}],
        ),
        f"/api/v1/namespaces/{NAMESPACE}/configmaps/coredns": _object(
            "v1", "ConfigMap", "coredns", data={"Corefile": _COREFILE}
        ),
        f"/api/v1/namespaces/{NAMESPACE}/services/kube-dns": _object(
            "v1",
            "Service",
            "kube-dns",
            spec={
                "clusterIP": address,
                "selector": _LABELS,
                "ports": [
                    {"name": "dns", "port": 53, "protocol": "UDP"},
                    {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
                ],
            },
        ),
        DEPLOYMENT: _object("apps/v1", "Deployment", "coredns", spec=_deployment(image, node)),
    }


def _deployment(image: str, node: str) -> dict[str, Any]:
    return {
        "selector": {"matchLabels": _LABELS},
        "template": {
            "metadata": {"labels": _LABELS},
            "spec": {
                "serviceAccountName": "coredns",
                "dnsPolicy": "Default",
                "nodeSelector": {"kubernetes.io/hostname": node},
                "terminationGracePeriodSeconds": 0,
                "containers": [
                    {
                        "name": "coredns",
                        "image": image,
                        "imagePullPolicy": "Never",
                        "args": ["-conf", "/etc/coredns/Corefile"],
                        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
                        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns"}],
                    }
                ],
                "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
            },
        },
    }


def _object(version: str, kind: str, name: str, *, namespace: str | None = NAMESPACE, **content: Any) -> dict[str, Any]:
    metadata = {"name": name} if namespace is None else {"name": name, "namespace": namespace}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **content}
