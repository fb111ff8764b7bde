"""The cgroup that a node's pods are under: made before the node starts, removed after it ended."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from tools.cluster.api_client import wait_until

_UNIFIED: Final = Path("/sys/fs/cgroup")
_REMOVE_SECONDS: Final = 30


@dataclass(frozen=True)
class Cgroups:
    """One name in each hierarchy of the machine: a dozen of them in version 1, one in version 2."""

    name: str

    @staticmethod
    def names(pattern: str) -> set[str]:
        """Those that there are, of a glob pattern."""
        return {path.name for mount in _hierarchies() for path in mount.glob(pattern)}

    @property
    def path(self) -> str:
        """As the kubelet names it."""
        return f"/{self.name}"

    def create(self) -> None:
        """The kubelet wants it to be there in every hierarchy."""
        for mount in _with_controllers():
            folder = mount / self.name
            folder.mkdir()
            for inherited in ("cpuset.cpus", "cpuset.mems"):
                # In version 1 a new cpuset is empty, and nothing can run in it.
                if (folder / inherited).exists() and mount != _UNIFIED:
                    (folder / inherited).write_text((mount / inherited).read_text())
            if mount == _UNIFIED:
                controllers = (mount / "cgroup.controllers").read_text().split()
                for group in (mount, folder):
                    (group / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers))

    def remove(self) -> None:
        """Its processes have been killed; the last of them may take a moment."""
        for mount in _hierarchies():
            top = mount / self.name
            wait_until(partial(_removed, top), seconds=_REMOVE_SECONDS, what=f"cgroup {top} is empty")


def _removed(top: Path) -> bool:
    for folder, _, _ in os.walk(top, topdown=False):
        try:
            Path(folder).rmdir()
        except OSError:  # a process is still in it
            return False
    return True


def _hierarchies() -> list[Path]:
    """Where each is mounted. Beside version 1 there may be version 2 without controllers, which runc uses all the same."""
    with Path("/proc/self/mounts").open(encoding="utf-8") as mounts:
        fields = [line.split() for line in mounts]
    return [Path(point) for _, point, kind, *_ in fields if kind in {"cgroup", "cgroup2"}]


def _with_controllers() -> list[Path]:
    mounts = _hierarchies()
    return [_UNIFIED] if _UNIFIED in mounts else [mount for mount in mounts if mount.name != "unified"]
