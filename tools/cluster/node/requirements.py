"""What a real node takes of the machine it runs on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tools.cluster.errors import Unavailable

_COMMANDS: Final = (
    *("containerd", "ctr", "runc", "iptables", "ip"),
    *("unshare", "nsenter", "setpriv"),
    *("debootstrap", "tar", "cc", "objdump", "nm"),
)
_CNI_PLUGINS: Final = ("ptp", "host-local", "loopback")
_CNI_FOLDER: Final = Path("/usr/lib/cni")
_INSTALL: Final = "tools/cluster/node/install.sh"


def demand() -> None:
    """Raises Unavailable, naming all that is missing and how to get it."""
    lacking = list(missing())
    if lacking:
        raise Unavailable(f"a real node needs {', '.join(lacking)}; as root on Debian: {_INSTALL}")


def missing(
    *,
    user: Callable[[], int] = os.geteuid,
    find: Callable[[str], str | None] = shutil.which,
    plugins: Path = _CNI_FOLDER,
) -> Iterator[str]:
    """What a real node lacks here, in words."""
    if user() != 0:
        yield "root"
    for command in _COMMANDS:
        if find(command) is None:
            yield command
    for plugin in _CNI_PLUGINS:
        if not (plugins / plugin).exists():
            yield f"the CNI plugin {plugin}"
