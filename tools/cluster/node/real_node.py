"""A cluster with a node that really runs pods: containers, Services, DNS, logs.

    with real_cluster() as cluster:
        cluster.load(recipes.predictor())
        ...  # KUBECONFIG=cluster.control_plane.kubeconfig

Nodes that kwok plays may stand beside it; pods that are to run say so by the node selector `cluster.NODE_SELECTOR`.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tools.cluster import build, kubeconfigs
from tools.cluster.api_client import wait_until
from tools.cluster.components import Options
from tools.cluster.control_plane import ControlPlane
from tools.cluster.errors import NotReady
from tools.cluster.images import recipes
from tools.cluster.images.archive import Image, write_archive
from tools.cluster.node import agents, dns
from tools.cluster.node.namespaces import CommandFailed, Namespaces
from tools.cluster.node.requirements import demand

_READY_SECONDS: Final = 60
_CTR: Final = ("ctr", f"--address={agents.CONTAINERD_SOCKET}", "--namespace=k8s.io")


def _silent(_line: str) -> None:
    return


@dataclass(frozen=True)
class RealCluster:
    """A control plane and a real node that has joined it."""

    NODE_SELECTOR = {"node.kubernetes.io/instance-type": "real"}  # noqa: RUF012 - never changed
    """Labels that the node has and no fake one."""

    control_plane: ControlPlane
    namespaces: Namespaces
    node: str
    """The node's name."""

    def load(self, *images: Image) -> None:
        """Bring images onto the node. Raises CommandFailed."""
        command = self.namespaces.argv(*_CTR, "images", "import", "-")
        with subprocess.Popen(  # noqa: S603 - our own command
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as importer:
            assert importer.stdin is not None  # noqa: S101 - it was asked for
            assert importer.stdout is not None  # noqa: S101 - it was asked for
            try:
                with importer.stdin as stream:
                    write_archive(images, stream)
            except BrokenPipeError:
                pass  # what it said tells why
            said = importer.stdout.read().decode(errors="replace")
        if importer.returncode:
            raise CommandFailed(f"{' '.join(command)}: exit code {importer.returncode}\n{said.rstrip()}")


@contextmanager
def real_cluster(*, kserve: bool = True, say: Callable[[str], None] = _silent) -> Iterator[RealCluster]:
    """A cluster that runs until the end of the `with`; then nothing is left of it.

    Raises Unavailable, BuildFailed, NotReady (see `tools.cluster.errors`), and PartFailed with an agent's last words.
    """
    demand()
    # Before anything is started, because it takes minutes where nothing is cached.
    binaries = build.binaries(*build.CONTROL_PLANE, *build.REAL_NODE, say=say)
    base, coredns = recipes.base(say=say), recipes.coredns(binaries["coredns"])
    with ExitStack() as stack:
        namespaces = stack.enter_context(Namespaces.start())
        network = namespaces.network
        options = Options(address=str(network.machine), service_range=str(network.services), kserve=kserve)
        control_plane = stack.enter_context(ControlPlane.start(options=options, say=say))
        # The agents end with their namespace; the control plane must not go before they have.
        stack.callback(namespaces.stop)
        cluster = RealCluster(control_plane, namespaces, f"real-{network.number}")
        began = time.monotonic()
        _start_containerd(cluster, pause_image=base.full_name)
        cluster.load(base, coredns)
        _start_kubernetes(cluster, binaries)
        for path, body in dns.objects(image=coredns.name, address=str(network.dns_service), node=cluster.node).items():
            control_plane.api.apply(path, body)
        wait_until(lambda: _available(control_plane), seconds=_READY_SECONDS, what="CoreDNS available")
        # A server that is ready is of no use before kube-proxy knows of it: until then its address refuses.
        address = str(network.dns_service)
        wait_until(lambda: dns.answers(address), seconds=_READY_SECONDS, what=f"DNS at {address} answers")
        say(f"node {cluster.node} and DNS ready in {time.monotonic() - began:.1f} s")
        yield cluster


def _start_containerd(cluster: RealCluster, *, pause_image: str) -> None:
    folder, node = cluster.namespaces.folder, _node(cluster)
    cni = folder / "cni"
    cni.mkdir()
    (cni / "10-pods.conflist").write_text(agents.cni_config(node))
    config = folder / "containerd.toml"
    config.write_text(agents.containerd_config(node, pause_image=pause_image, cni_folder=cni))
    health = f"http://{node.network.node}:{agents.CONTAINERD_PORT}/v1/metrics"
    part = cluster.control_plane.start_part(
        "containerd", cluster.namespaces.argv("containerd", "--config", config), ready_url=health
    )
    part.wait_ready(timeout=_READY_SECONDS)


def _start_kubernetes(cluster: RealCluster, binaries: Mapping[str, Path]) -> None:
    node, folder, control_plane = _node(cluster), cluster.namespaces.folder, cluster.control_plane
    address = node.network.node

    config = folder / "kubelet.json"
    config.write_text(json.dumps(agents.kubelet_config(node)))
    kubeconfig = _kubeconfig(cluster, f"system:node:{node.name}", organization="system:nodes")
    command = agents.kubelet(node, binaries["kubelet"], config=config, kubeconfig=kubeconfig)
    health = f"http://{address}:{agents.KUBELET_HEALTH_PORT}/healthz"
    part = control_plane.start_part("kubelet", cluster.namespaces.argv(*command), ready_url=health)
    part.wait_ready(timeout=_READY_SECONDS)
    try:
        wait_until(lambda: _joined(control_plane, node.name), seconds=_READY_SECONDS, what=f"node {node.name} ready")
    except NotReady as late:
        raise NotReady(f"{late}; the kubelet's last words:\n{part.log_tail()}") from None

    # It looks for its node once when it starts, so that the node is there first.
    config = folder / "kube-proxy.json"
    kubeconfig = _kubeconfig(cluster, "system:kube-proxy")
    config.write_text(json.dumps(agents.proxy_config(node, kubeconfig=kubeconfig)))
    health = f"http://{address}:{agents.PROXY_HEALTH_PORT}/healthz"
    argv = cluster.namespaces.argv(binaries["kube-proxy"], f"--config={config}")
    control_plane.start_part("kube-proxy", argv, ready_url=health).wait_ready(timeout=_READY_SECONDS)


def _node(cluster: RealCluster) -> agents.Node:
    return agents.Node(
        name=cluster.node,
        labels=[f"{key}={value}" for key, value in cluster.NODE_SELECTOR.items()],
        network=cluster.namespaces.network,
        cgroup=cluster.namespaces.cgroups.path,
        authority=cluster.control_plane.ca,
    )


def _kubeconfig(cluster: RealCluster, user: str, *, organization: str | None = None) -> Path:
    control_plane = cluster.control_plane
    pair = control_plane.authority.sign(user, organization=organization)
    path = cluster.namespaces.folder / f"{user.replace(':', '-')}.kubeconfig"
    path.touch(mode=0o600)
    path.write_text(kubeconfigs.for_certificate(control_plane.url, control_plane.ca, pair))
    return path


def _joined(control_plane: ControlPlane, name: str) -> bool:
    if not control_plane.api.exists(f"/api/v1/nodes/{name}"):
        return False
    node = control_plane.api.get(f"/api/v1/nodes/{name}")
    ready = any(
        condition["type"] == "Ready" and condition["status"] == "True" for condition in node["status"]["conditions"]
    )
    return ready and not node["spec"].get("taints")


def _available(control_plane: ControlPlane) -> bool:
    return bool(control_plane.api.get(dns.DEPLOYMENT)["status"].get("availableReplicas"))
