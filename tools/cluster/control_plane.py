"""A Kubernetes control plane on this machine: the real components, nodes that kwok plays, KServe's controller.

    with ControlPlane.start() as cluster:
        cluster.add_nodes(2, gpus=8)
        ...  # KUBECONFIG=cluster.kubeconfig

All state is in one folder, which goes when it stops; its processes die with the one that started them.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import yaml

from kat.processes import Part, port_or_free
from tools.cluster import build, components, kserve, kubeconfigs
from tools.cluster.api_client import ApiClient, tls
from tools.cluster.certificates import Authority
from tools.cluster.components import LOOPBACK, Options
from tools.cluster.fake_nodes import FakeNodes

_START_SECONDS: Final = 120
_STOP_SECONDS: Final = 30
_TOKEN_SECONDS: Final = 24 * 3600
_MANIFESTS: Final = Path(__file__).parent / "manifests"
_DEFAULTS: Final = Options()


def _silent(_line: str) -> None:
    return


class ControlPlane:
    """Started by `start`; stopped by `stop`, or at the end of a `with`."""

    def __init__(self, folder: Path, options: Options, say: Callable[[str], None]) -> None:
        self.folder = folder
        self.options = options
        self.authority = Authority(folder / "pki")
        self.kubeconfig = folder / "admin.kubeconfig"
        """Of an administrator."""
        self._say = say
        self._port = port_or_free(0)
        self._parts: dict[str, Part] = {}
        admin = self.authority.sign("kat-admin", organization="system:masters")
        self._write(self.kubeconfig, kubeconfigs.for_certificate(self.url, self.ca, admin))
        self.api = ApiClient(self.url, tls(self.ca, admin))
        """Requests as an administrator."""
        self.nodes = FakeNodes(self.api)

    @classmethod
    def start(
        cls, folder: Path | None = None, *, options: Options = _DEFAULTS, say: Callable[[str], None] = _silent
    ) -> Self:
        """Build what is missing, start everything, and return once it all answers.

        Call it from a thread that outlives the cluster: Linux ties the processes to the thread that started them.
        `folder` is made where it is missing, must be empty, and is removed at the end. `say` hears of progress.
        Raises Unavailable and BuildFailed (see `tools.cluster.errors`), and PartFailed with a component's last words.
        """
        names = [*build.CONTROL_PLANE, *(build.KSERVE if options.kserve else ())]
        binaries = build.binaries(*names, say=say)
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="kat-cluster-"))
        cluster = cls(folder, options, say)
        try:
            cluster._start(binaries)
        except BaseException:
            cluster.stop()
            raise
        return cluster

    def stop(self) -> None:
        """End every process and remove the folder. What the cluster held goes with it, so nothing is asked to finish."""
        self.api.close()
        for part in reversed(self._parts.values()):
            part.kill()
        self._parts.clear()
        shutil.rmtree(self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"https://{self.options.address}:{self._port}"

    @property
    def ca(self) -> Path:
        """The certificate that the API server's is signed by."""
        return self.authority.certificate

    def token_for(self, namespace: str, service_account: str) -> str:
        """A token of that ServiceAccount, which must exist, for a day."""
        answer = self.api.create(
            f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token",
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {"expirationSeconds": _TOKEN_SECONDS},
            },
        )
        token: str = answer["status"]["token"]
        return token

    def kubeconfig_for(self, namespace: str, service_account: str) -> Path:
        """A kubeconfig that speaks as that ServiceAccount, which must exist, for a day."""
        path = self.folder / f"{namespace}-{service_account}.kubeconfig"
        token = self.token_for(namespace, service_account)
        self._write(path, kubeconfigs.for_token(self.url, self.ca, token, namespace=namespace))
        return path

    def add_nodes(
        self,
        count: int,
        *,
        gpus: int = 8,
        kind: str = "gpu",
        labels: Mapping[str, str] | None = None,
        taints: Sequence[Mapping[str, str]] = (),
        cpu: int = 192,
        memory: str = "2Ti",
    ) -> list[str]:
        """Names of `count` new nodes of `gpus` nvidia.com/gpu each, ready; `kind` is their instance type."""
        return self.nodes.add(count, gpus=gpus, kind=kind, labels=labels or {}, taints=taints, cpu=cpu, memory=memory)

    def remove_node(self, name: str) -> None:
        """Take the node and its pods away at once."""
        self.nodes.remove(name)

    def lose_node(self, name: str) -> None:
        """The node stops answering: it and its pods are not ready at once, and the pods evicted 5 s later."""
        self.nodes.lose(name)

    def stop_api_server(self) -> None:
        """SIGKILL: as hard as it gets. What it stored stays."""
        self._parts["kube-apiserver"].kill()

    def start_api_server(self) -> None:
        """Start it again on the same address; returns once it answers."""
        part = self._parts["kube-apiserver"]
        part.start()
        part.wait_ready(timeout=_START_SECONDS)

    def restart_api_server(self) -> None:
        self.stop_api_server()
        self.start_api_server()

    def log(self, component: str) -> Path:
        """Of etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kwok or kserve-manager."""
        return self._parts[component].log

    def pids(self) -> list[int]:
        """Process ids of all its components."""
        return [part.pid for part in self._parts.values()]

    def start_part(
        self, name: str, argv: Sequence[str], *, ready_url: str, env: Mapping[str, str] | None = None
    ) -> Part:
        """Start one more process of the cluster, which ends with it. Does not wait until it is ready."""
        part = Part(
            name=name,
            # The kernel ends it when we end, however that happens.
            argv=["setpriv", "--pdeathsig", "KILL", "--", *argv],
            # Nothing of theirs belongs into the home of whoever runs the cluster.
            env={"HOME": str(self.folder), **(env or {})},
            log=self.folder / "logs" / f"{name}.log",
            ready_url=ready_url,
            verify=tls(self.ca),
        )
        self._parts[name] = part
        part.start()
        return part

    def _start(self, binaries: Mapping[str, Path]) -> None:
        began = time.monotonic()
        places = self._places(binaries)
        etcd = self.start_part("etcd", components.etcd(places, port_or_free(0)), ready_url=f"{places.etcd}/readyz")
        etcd.wait_ready(timeout=_START_SECONDS)
        server = self.start_part(
            "kube-apiserver", components.api_server(places, self._port), ready_url=f"{self.url}/readyz"
        )
        server.wait_ready(timeout=_START_SECONDS)
        managers = [
            self._start_server("kube-controller-manager", components.controller_manager, places),
            self._start_server("kube-scheduler", components.scheduler, places),
        ]
        port = port_or_free(0)
        kwok = components.kwok(places, port, _MANIFESTS / "kwok-stages.yaml")
        managers.append(self.start_part("kwok", kwok, ready_url=f"http://{LOOPBACK}:{port}/healthz"))
        for file in build.definitions(self._say):
            # Half a megabyte, some of them: libyaml reads it in a tenth of the time.
            self.api.create(kserve.CRDS, yaml.load(file.read_text(), Loader=yaml.CSafeLoader))
        if self.options.kserve:
            self._start_kserve(binaries["kserve-manager"])
        for part in managers:
            part.wait_ready(timeout=_START_SECONDS)
        self._say(f"control plane ready at {self.url} in {time.monotonic() - began:.1f} s")

    def _start_server(
        self, name: str, argv: Callable[[components.Places, int], list[str]], places: components.Places
    ) -> Part:
        port = port_or_free(0)
        return self.start_part(name, argv(places, port), ready_url=f"https://{LOOPBACK}:{port}/healthz")

    def _start_kserve(self, binary: Path) -> None:
        config = build.kserve_config(self._say)
        kserve.install(self.api, config)
        webhook, probe, metrics = (port_or_free(0) for _ in range(3))
        env = kserve.place_certificate(self.folder / "kserve", self.authority.sign("kserve-webhooks", hosts=[LOOPBACK]))
        part = self.start_part(
            "kserve-manager",
            kserve.manager(binary, webhook=webhook, probe=f"{LOOPBACK}:{probe}", metrics=f"{LOOPBACK}:{metrics}"),
            ready_url=f"http://{LOOPBACK}:{probe}/readyz",
            env={**env, "KUBECONFIG": str(self.kubeconfig)},
        )
        part.wait_ready(timeout=_START_SECONDS)
        kserve.install_webhooks(self.api, config, port=webhook, authority=self.ca)

    def _places(self, binaries: Mapping[str, Path]) -> components.Places:
        sign = self.authority.sign
        scheduler_kubeconfig = self.folder / "scheduler.kubeconfig"
        text = kubeconfigs.for_certificate(self.url, self.ca, sign("system:kube-scheduler"))
        self._write(scheduler_kubeconfig, text)
        hosts = [
            *dict.fromkeys([LOOPBACK, self.options.address, self.options.api_service_address]),
            "localhost",
            *("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"),
        ]
        return components.Places(
            options=self.options,
            folder=self.folder,
            binaries=binaries,
            authority=self.ca,
            server=sign("kat-server", hosts=hosts),
            tokens=self.authority.signing_key("service-accounts"),
            kubelet_client=sign("kat-kubelet-client", organization="system:masters"),
            etcd=f"http://{LOOPBACK}:{port_or_free(0)}",
            kubeconfig=self.kubeconfig,
            scheduler_kubeconfig=scheduler_kubeconfig,
        )

    @staticmethod
    def _write(path: Path, text: str) -> None:
        path.touch(mode=0o600)
        path.write_text(text)
