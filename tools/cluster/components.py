"""How each component of the control plane is called: pure, from where things are to a command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from tools.cluster.certificates import Pair

FAKE_POD_RANGE: Final = "10.128.0.0/16"
FAKE_NODE_ANNOTATION: Final = "kwok.x-k8s.io/node"
LOOPBACK: Final = "127.0.0.1"

_REQUESTS_PER_SECOND: Final = 400
"""Components throttle themselves for the sake of clusters with thousands of nodes; here nothing is to be spared."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What kind of cluster."""

    address: str = LOOPBACK
    """Where the API server listens: loopback, or the address of a bridge that real pods reach it by."""
    service_range: str = "10.96.0.0/16"
    """Where Services get their addresses; one that no other cluster of this machine has, if a real node is to join."""
    kserve: bool = True
    """Run KServe's controller. Without it, InferenceServices can be stored, and nothing comes of them."""

    @property
    def api_service_address(self) -> str:
        """Of the Service `kubernetes`: the first address of the range."""
        return str(IPv4Network(self.service_range)[1])


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where things are that components need of one another."""

    options: Options
    folder: Path
    binaries: Mapping[str, Path]
    authority: Path
    server: Pair
    """Certificate for all of them, under `options.address` and loopback."""
    tokens: Pair
    """Key that ServiceAccount tokens are signed with; `certificate` is the public one."""
    kubelet_client: Pair
    etcd: str
    kubeconfig: Path
    """Of an administrator."""
    scheduler_kubeconfig: Path


def etcd(places: Places, peer_port: int) -> list[str]:
    peers = f"http://{LOOPBACK}:{peer_port}"
    return [
        str(places.binaries["etcd"]),
        "--name=kat",
        f"--data-dir={places.folder / 'etcd'}",
        f"--listen-client-urls={places.etcd}",
        f"--advertise-client-urls={places.etcd}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=kat={peers}",
        # What it holds ends with the process.
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def api_server(places: Places, port: int) -> list[str]:
    address = places.options.address
    return [
        str(places.binaries["kube-apiserver"]),
        f"--etcd-servers={places.etcd}",
        f"--bind-address={address}",
        f"--advertise-address={address}",
        f"--secure-port={port}",
        # The Service `kubernetes` cannot point at loopback.
        f"--endpoint-reconciler-type={'none' if address == LOOPBACK else 'lease'}",
        f"--tls-cert-file={places.server.certificate}",
        f"--tls-private-key-file={places.server.key}",
        f"--client-ca-file={places.authority}",
        # Without it, components that ask who their own callers are complain without end. Nobody has that certificate.
        f"--requestheader-client-ca-file={places.authority}",
        "--requestheader-allowed-names=kat-front-proxy",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--kubelet-client-certificate={places.kubelet_client.certificate}",
        f"--kubelet-client-key={places.kubelet_client.key}",
        # A real node's name is in no name server.
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-cluster-ip-range={places.options.service_range}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={places.tokens.certificate}",
        f"--service-account-signing-key-file={places.tokens.key}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged",
        # Pods of a lost node are replaced while a test still waits for it.
        "--default-not-ready-toleration-seconds=5",
        "--default-unreachable-toleration-seconds=5",
        "--profiling=false",
    ]


def controller_manager(places: Places, port: int) -> list[str]:
    return [
        str(places.binaries["kube-controller-manager"]),
        *_as_client(places.kubeconfig),
        *_as_server(places, port),
        "--leader-elect=false",
        f"--root-ca-file={places.authority}",
        f"--service-account-private-key-file={places.tokens.key}",
        f"--kube-api-qps={_REQUESTS_PER_SECOND}",
        f"--kube-api-burst={2 * _REQUESTS_PER_SECOND}",
        "--node-monitor-period=1s",
    ]


def scheduler(places: Places, port: int) -> list[str]:
    configuration = places.folder / "scheduler.json"
    configuration.write_text(
        json.dumps(
            {
                "apiVersion": "kubescheduler.config.k8s.io/v1",
                "kind": "KubeSchedulerConfiguration",
                "clientConnection": {
                    "kubeconfig": str(places.scheduler_kubeconfig),
                    "qps": _REQUESTS_PER_SECOND,
                    "burst": 2 * _REQUESTS_PER_SECOND,
                },
                "leaderElection": {"leaderElect": False},
                # A pod that found no node is tried again as soon as there may be one.
                "podInitialBackoffSeconds": 1,
                "podMaxBackoffSeconds": 1,
            }
        )
    )
    return [
        str(places.binaries["kube-scheduler"]),
        f"--config={configuration}",
        f"--authentication-kubeconfig={places.scheduler_kubeconfig}",
        f"--authorization-kubeconfig={places.scheduler_kubeconfig}",
        *_as_server(places, port),
    ]


def kwok(places: Places, port: int, stages: Path) -> list[str]:
    return [
        str(places.binaries["kwok"]),
        f"--kubeconfig={places.kubeconfig}",
        f"--config={stages}",
        "--manage-all-nodes=false",
        f"--manage-nodes-with-annotation-selector={FAKE_NODE_ANNOTATION}=fake",
        f"--cidr={FAKE_POD_RANGE}",
        # Without leases to renew, the nodes would count as lost 50 s after their start.
        "--node-lease-duration-seconds=40",
        f"--server-address={LOOPBACK}:{port}",
    ]


def _as_client(kubeconfig: Path) -> list[str]:
    return [f"--{use}kubeconfig={kubeconfig}" for use in ("", "authentication-", "authorization-")]


def _as_server(places: Places, port: int) -> list[str]:
    return [
        f"--bind-address={LOOPBACK}",
        f"--secure-port={port}",
        f"--tls-cert-file={places.server.certificate}",
        f"--tls-private-key-file={places.server.key}",
    ]
