"""Layers of container images: trees of files, each kept beside the archive that a container runtime reads."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from tools.cluster.errors import BuildFailed

_WHITEOUT = os.makedev(0, 0)


def cache_folder() -> Path:
    """Where a user's clusters keep what was built; made on the first call."""
    root = os.environ.get("KAT_CLUSTER_CACHE")
    folder = Path(root) if root else Path.home() / ".cache" / "kat-serving" / "cluster"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@dataclass(frozen=True)
class Layer:
    """What one step of an image adds to those before it."""

    folder: Path

    @property
    def tree(self) -> Path:
        return self.folder / "tree"

    @property
    def archive(self) -> Path:
        """The tree as a tar file, not compressed: it only ever moves within a machine."""
        return self.folder / "layer.tar"

    @property
    def digest(self) -> str:
        """`sha256:` and the archive's hash; an uncompressed layer's diff id is the same."""
        return (self.folder / "digest").read_text()

    @property
    def size(self) -> int:
        """Bytes of the archive."""
        return self.archive.stat().st_size


def key_of(*parts: str | bytes | Path) -> str:
    """A short hash of what a layer is made from: texts, and files with their content."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else part.encode() if isinstance(part, str) else part
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:12]


def cached(cache: Path, name: str, key: str, make: Callable[[Path], None]) -> Layer:
    """The layer of that name and key, made by `make(tree)` where the cache lacks it; older ones of that name go.

    Processes that want the same layer at once make it once.
    """
    cache.mkdir(parents=True, exist_ok=True)
    layer = Layer(cache / f"{name}-{key}")
    with FileLock(cache / f".{name}.lock"):
        if layer.folder.is_dir():
            return layer
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=cache) as partial:
            unfinished = Layer(Path(partial) / "layer")
            unfinished.tree.mkdir(parents=True)
            # TemporaryDirectory is for its owner alone, and so would the image's root be for root alone.
            unfinished.tree.chmod(0o755)
            make(unfinished.tree)
            _pack(unfinished)
            unfinished.folder.rename(layer.folder)
        for older in _others(layer.folder, name):
            shutil.rmtree(older)
    return layer


def _others(kept: Path, name: str) -> Iterator[Path]:
    for folder in kept.parent.glob(f"{name}-*"):
        # The key has no dash, so that `kat-base` is no older `kat`.
        if folder != kept and folder.name.rpartition("-")[0] == name:
            yield folder


def _pack(layer: Layer) -> None:
    for folder, _, names in os.walk(layer.tree):
        for name in names:
            status = (Path(folder) / name).lstat()
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == _WHITEOUT:
                raise BuildFailed(f"{folder}/{name} was removed from a layer below, which an archive does not say")
    run(["tar", "--create", "--sort=name", "--numeric-owner", "--file", layer.archive, "--directory", layer.tree, "."])
    with layer.archive.open("rb") as archive:
        digest = hashlib.file_digest(archive, "sha256").hexdigest()
    (layer.folder / "digest").write_text(f"sha256:{digest}")


def run(command: Sequence[str | Path], *, env: dict[str, str] | None = None, nice: bool = True) -> None:
    """Run it, below the priority of what else happens on the machine. Raises BuildFailed with the end of its output."""
    prefix = ["nice", "-n", "5"] if nice else []
    done = subprocess.run(  # noqa: S603 - our own commands
        [*prefix, *map(str, command)],
        env=None if env is None else {**os.environ, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode:
        tail = "\n".join(done.stdout.decode(errors="replace").strip().splitlines()[-20:])
        raise BuildFailed(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{tail}")
