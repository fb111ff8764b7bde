"""The cluster's binaries, built from pinned Go modules: once for each state of their go.mod and go.sum.

They lie in KAT_CLUSTER_CACHE (default ~/.cache/kat-serving/cluster), a folder for each module and state. Whoever comes
while another process builds the same waits for it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filelock import FileLock

from tools.cluster.errors import BuildFailed, Unavailable

MODULES: Final = Path(__file__).parent
KUBERNETES_VERSION: Final = "1.34.4"
_NICE: Final = "5"
_TAIL_LINES: Final = 20
_SAY_SECONDS: Final = 15


@dataclass(frozen=True)
class Source:
    """Where a binary comes from: a module of ours, and a main package that it pins."""

    module: str
    package: str


SOURCES: Final = {
    "etcd": Source("etcd", "go.etcd.io/etcd/server/v3"),
    "kube-apiserver": Source("kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver"),
    "kube-controller-manager": Source("kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    "kube-scheduler": Source("kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler"),
    "kubelet": Source("kubernetes", "k8s.io/kubernetes/cmd/kubelet"),
    "kube-proxy": Source("kubernetes", "k8s.io/kubernetes/cmd/kube-proxy"),
    # In a module of its own, so that whoever only runs tests need not build it.
    "kubectl": Source("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
    "kwok": Source("kwok", "sigs.k8s.io/kwok/cmd/kwok"),
    "kserve-manager": Source("kserve", "github.com/kserve/kserve/cmd/manager"),
    "coredns": Source("coredns", "github.com/coredns/coredns"),
    "helm": Source("helm", "helm.sh/helm/v3/cmd/helm"),
}
CONTROL_PLANE: Final = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
KSERVE: Final = ("kserve-manager",)
REAL_NODE: Final = ("kubelet", "kube-proxy", "coredns")
FOR_PEOPLE: Final = ("kubectl", "helm")

_KSERVE_CONFIG: Final = ("configmap/inferenceservice.yaml", "crd/full", "webhook/manifests.yaml")
_KSERVE_CHARTS: Final = ("kserve-resources",)
_DEFINITIONS: Final = {
    ("github.com/prometheus-operator/prometheus-operator", "example/prometheus-operator-crd"): (
        "monitoring.coreos.com_podmonitors.yaml",
        "monitoring.coreos.com_prometheusrules.yaml",
        "monitoring.coreos.com_servicemonitors.yaml",
    ),
    ("github.com/cloudnative-pg/cloudnative-pg", "config/crd/bases"): ("postgresql.cnpg.io_clusters.yaml",),
}


def binaries(*names: str, say: Callable[[str], None] = lambda _line: None) -> dict[str, Path]:
    """The named binaries by name, built first where the cache lacks them; `say` hears how that goes.

    Raises Unavailable where that needs Go and there is none, and BuildFailed.
    """
    found: dict[str, Path] = {}
    for module in dict.fromkeys(SOURCES[name].module for name in names):
        folder = _folder(module)
        wanted = [name for name in names if SOURCES[name].module == module]
        if any(not (folder / name).exists() for name in wanted):
            _build(module, folder, wanted, say)
        found |= {name: folder / name for name in wanted}
    return found


def kserve_config(say: Callable[[str], None] = lambda _line: None) -> Path:
    """KServe's own `config` folder, of the version that kserve-manager is: CRDs, webhooks, the ConfigMap."""
    return _source_files("kserve", "github.com/kserve/kserve", "config", _KSERVE_CONFIG, say)


def kserve_charts(say: Callable[[str], None] = lambda _line: None) -> Path:
    """A folder with KServe's own Helm chart `kserve-resources`, of the version that kserve-manager is."""
    return _source_files("kserve", "github.com/kserve/kserve", "charts", _KSERVE_CHARTS, say)


def definitions(say: Callable[[str], None] = lambda _line: None) -> list[Path]:
    """Files with the CRDs of other operators that objects of ours are for: Prometheus Operator's, CloudNativePG's.

    Raises Unavailable where reading them needs Go and there is none, and BuildFailed.
    """
    return [
        _source_files("definitions", package, root, names, say) / name
        for (package, root), names in _DEFINITIONS.items()
        for name in names
    ]


def _source_files(module: str, package: str, root: str, names: Sequence[str], say: Callable[[str], None]) -> Path:
    """The folder `root` of a package's source, of the version that a module of ours pins; the named files of it alone."""
    folder = _folder(module) / root
    if not folder.exists():
        go, lock = _go(), _lock(folder)
        with lock:
            if folder.exists():
                return folder
            say(f"{module}: reading {root} of {package}")
            _run([go, "mod", "download", package], MODULES / module, say)
            source = _run([go, "list", "-m", "-f", "{{.Dir}}", package], MODULES / module, say)
            with tempfile.TemporaryDirectory(dir=folder.parent) as partial:
                for name in names:
                    _copy(Path(source[-1]) / root / name, Path(partial) / "read" / name)
                (Path(partial) / "read").rename(folder)
    return folder


def _folder(module: str) -> Path:
    root = os.environ.get("KAT_CLUSTER_CACHE")
    cache = Path(root) if root else Path.home() / ".cache" / "kat-serving" / "cluster"
    state = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        state.update((MODULES / module / name).read_bytes())
    return cache / f"{module}-{state.hexdigest()[:12]}"


def _lock(folder: Path) -> FileLock:
    folder.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(folder.parent / f".{folder.name}.lock")


def _build(module: str, folder: Path, names: Sequence[str], say: Callable[[str], None]) -> None:
    go = _go()
    with _lock(folder):
        missing = [name for name in names if not (folder / name).exists()]
        if not missing:
            return
        say(f"{module}: building {', '.join(missing)} (once; minutes where nothing is cached)")
        began = time.monotonic()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as partial:
            packages = [SOURCES[name].package for name in missing]
            # -v names each package as it is built: without it, minutes of silence.
            command = [go, "build", "-v", "-trimpath", "-buildvcs=false", "-ldflags", _ldflags(module)]
            _run([*command, "-o", f"{partial}/", *packages], MODULES / module, say)
            for name, package in zip(missing, packages, strict=True):
                _built(Path(partial), package).rename(folder / name)
        say(f"{module}: built in {time.monotonic() - began:.0f} s")


def _built(folder: Path, package: str) -> Path:
    """Go names a binary after its package's last part, or the one before a part that is only a major version."""
    *_, parent, last = package.split("/")
    return folder / (parent if last[:1] == "v" and last[1:].isdigit() else last)


def _ldflags(module: str) -> str:
    flags = ["-s", "-w"]
    if module in {"kubernetes", "kubectl"}:
        major, minor, _ = KUBERNETES_VERSION.split(".")
        version = {"gitVersion": f"v{KUBERNETES_VERSION}", "gitMajor": major, "gitMinor": minor}
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
            flags += [f"-X {package}.{name}={value}" for name, value in version.items()]
    return " ".join(flags)


def _go() -> str:
    found = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if not found:
        raise Unavailable("building the cluster's binaries takes Go 1.25 or newer: https://go.dev/dl/")
    return found


def _run(command: Sequence[str], folder: Path, say: Callable[[str], None]) -> list[str]:
    """Run it below the priority of what else happens on the machine. The lines that it printed."""
    lines: list[str] = []
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    spoken = time.monotonic()
    with subprocess.Popen(  # noqa: S603 - our own commands
        ["nice", "-n", _NICE, *command],  # noqa: S607 - nice is on every Unix
        cwd=folder,
        # A workspace or vendor folder of the developer's is not what is pinned here.
        env={**os.environ, "GOWORK": "off", "GOFLAGS": "-mod=readonly", "CGO_ENABLED": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        for line in process.stdout:
            lines.append(line.rstrip())
            tail.append(line.rstrip())
            if time.monotonic() - spoken > _SAY_SECONDS:
                spoken = time.monotonic()
                say(f"{folder.name}: {len(lines)} packages so far, at {line.rstrip()}")
    if process.returncode:
        raise BuildFailed(f"{' '.join(command)} in {folder}:\n" + "\n".join(tail))
    return lines


def _copy(source: Path, target: Path) -> None:
    """What Go's module cache holds is read-only; the copy is not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        for file in source.rglob("*"):
            if file.is_file():
                _copy(file, target / file.relative_to(source))
    else:
        target.write_bytes(source.read_bytes())
