"""How what runs on a node is called and configured: pure, from where things are to texts and command lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tools.cluster.node.network import NodeNetwork

CONTAINERD_PORT: Final = 1338
KUBELET_PORT: Final = 10250
KUBELET_HEALTH_PORT: Final = 10248
PROXY_HEALTH_PORT: Final = 10256
DNS_DOMAIN: Final = "cluster.local"
# The node's own: /run is a folder of the node's.
CONTAINERD_SOCKET: Final = "/run/containerd/containerd.sock"
_PLUGINS: Final = "/usr/lib/cni"


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node as its agents are told of it."""

    name: str
    labels: Sequence[str]
    """Each `key=value`."""
    network: NodeNetwork
    cgroup: str
    authority: Path
    """Certificate of the cluster's authority."""
    max_pods: int = 40


def containerd_config(node: Node, *, pause_image: str, cni_folder: Path) -> str:
    """The configuration of containerd 1.6, in its version 2."""
    return f"""\
version = 2
# Would make folders in /opt.
disabled_plugins = ["io.containerd.internal.v1.opt"]

[grpc]
address = "{CONTAINERD_SOCKET}"

# Tells that it runs.
[metrics]
address = "{node.network.node}:{CONTAINERD_PORT}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause_image}"
# A machine may not let root lower a process's score (CAP_SYS_RESOURCE), and runc fails where it cannot.
restrict_oom_score_adj = true
disable_apparmor = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{_PLUGINS}"
conf_dir = "{cni_folder}"
"""


def cni_config(node: Node) -> str:
    """A link from the node to each pod, and routes between them.

    With a bridge, the answer of a pod to a pod would take the short way, past the rules that make it an answer of the
    Service that was asked.
    """
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": str(node.network.pods)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    return json.dumps(
        {"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "ptp", "ipMasq": False, "ipam": ipam}]}
    )


def kubelet_config(node: Node) -> dict[str, Any]:
    """A KubeletConfiguration."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": str(node.network.node),
        "port": KUBELET_PORT,
        "healthzBindAddress": str(node.network.node),
        "healthzPort": KUBELET_HEALTH_PORT,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(node.authority)},
        },
        "authorization": {"mode": "Webhook"},
        "clusterDNS": [str(node.network.dns_service)],
        "clusterDomain": DNS_DOMAIN,
        # Names of the world are not to be had in the cluster.
        "resolvConf": "",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": node.cgroup,
        # The machine has few cores for all: shares divide them fairly, quotas would let them lie idle.
        "cpuCFSQuota": False,
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": [],
        "localStorageCapacityIsolation": False,
        "maxPods": node.max_pods,
        # The disk is the machine's, too; how full it is says nothing of this node.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        # Seconds count in a test: see at once that a pod ended.
        "syncFrequency": "10s",
        "nodeStatusUpdateFrequency": "2s",
    }


def kubelet(node: Node, binary: Path, *, config: Path, kubeconfig: Path) -> list[str]:
    return [
        str(binary),
        f"--config={config}",
        f"--kubeconfig={kubeconfig}",
        f"--hostname-override={node.name}",
        f"--node-ip={node.network.node}",
        f"--node-labels={','.join(node.labels)}",
    ]


def proxy_config(node: Node, *, kubeconfig: Path) -> dict[str, Any]:
    """A KubeProxyConfiguration."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "hostnameOverride": node.name,
        "clusterCIDR": str(node.network.pods),
        "healthzBindAddress": f"{node.network.node}:{PROXY_HEALTH_PORT}",
        "metricsBindAddress": "127.0.0.1:10249",
        # Limits of the connection table are the machine's.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
        "oomScoreAdj": 0,
    }
