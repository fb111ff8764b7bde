"""Namespaces that a node runs in: processes, mounts and network of its own, all gone with its first process.

The machine keeps no trace of them: no mount, no bridge, no rule of iptables, no forwarding, whatever ends first. It sees
one link, which the kernel removes with the namespace that the other end is in.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from filelock import FileLock

from tools.cluster.api_client import wait_until
from tools.cluster.errors import ClusterError
from tools.cluster.images.layer import cache_folder
from tools.cluster.node.cgroups import Cgroups
from tools.cluster.node.network import NodeNetwork, free_network

_FIRST_PROCESS: Final = Path(__file__).with_name("first_process.sh")
_INNER_LINK: Final = "machine"
_STOP_SECONDS: Final = 30
_PREFIX: Final = "kat-node-"
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - folders in it are made by mkdtemp
_ROOM: Final = 16 * 1024**3
"""Images of 5 GB, twice over, and the pods."""


class CommandFailed(ClusterError):
    """A command of the set-up did. The message holds what it said."""


class Namespaces:
    """Started by `start`; stopped by `stop`, or at the end of a `with`. Needs root.

    The first process dies with the thread that called `start`, however that ends.
    """

    def __init__(self, folder: Path, network: NodeNetwork) -> None:
        self.folder = folder
        """The node's files: what it sees as /run, /var/lib and /var/log is in there."""
        self.network = network
        self.cgroups = Cgroups(folder.name)
        self._first: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls) -> Self:
        """Also removes what nodes left whose owner was killed. Raises CommandFailed."""
        with FileLock(cache_folder() / ".node.lock"):
            # One at a time: two would clear the same things away, or choose the same network.
            _remove_abandoned()
            # The name tells whose it is, so that what is abandoned can be told from what is in use.
            folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=_roomy_folder()))
            namespaces = cls(folder, free_network())
            try:
                namespaces._start()
            except BaseException:
                namespaces.stop()
                raise
        return namespaces

    def stop(self) -> None:
        """End every process on the node and remove what is left of it. Fine where that was done already."""
        if self._first is not None:
            self._first.kill()
            # The kernel ends the other processes of the namespace before this one counts as ended.
            self._first.wait(_STOP_SECONDS)
            self._first = None
            link = Path("/sys/class/net", self.network.link)
            wait_until(lambda: not link.exists(), seconds=_STOP_SECONDS, what=f"link {self.network.link} is gone")
        self.cgroups.remove()
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def argv(self, *command: str | Path) -> list[str]:
        """The command line that runs `command` on the node; it sees this machine's files."""
        enter = [
            "nsenter",
            f"--target={self._inner_pid}",
            "--mount",
            "--net",
            "--pid",
            "--ipc",
            "--uts",
            "--wd=/",
            "--",
        ]
        return [*enter, *map(str, command)]

    def run(self, *command: str | Path, stdin: IO[bytes] | None = None) -> str:
        """What the command printed on the node. Raises CommandFailed."""
        return _run(self.argv(*command), stdin=stdin)

    def _start(self) -> None:
        self.cgroups.create()
        self._first = subprocess.Popen(  # noqa: S603 - our own command
            [
                *("setpriv", "--pdeathsig", "KILL", "--"),
                *("unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--propagation", "private"),
                *("--fork", "--kill-child=KILL", "--mount-proc", "--"),
                *(str(_FIRST_PROCESS), str(self.folder)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            # A Ctrl-C in the terminal reaches only us, and we stop it in order.
            start_new_session=True,
        )
        assert self._first.stdout is not None  # noqa: S101 - it was asked for
        with self._first.stdout as said:
            ready = said.readline() == b"ready\n"
        if not ready:
            raise CommandFailed(f"{_FIRST_PROCESS.name} did not close the node off from this machine")
        children = Path(f"/proc/{self._first.pid}/task/{self._first.pid}/children").read_text(encoding="ascii")
        self._inner_pid = int(children.split()[0])
        self._link()

    def _link(self) -> None:
        net, ip = self.network, "ip"
        inner = ("peer", "name", _INNER_LINK, "netns", str(self._inner_pid))
        _run([ip, "link", "add", net.link, "type", "veth", *inner])
        _run([ip, "address", "add", f"{net.machine}/30", "dev", net.link])
        _run([ip, "link", "set", net.link, "up"])
        self.run(ip, "address", "add", f"{net.node}/30", "dev", _INNER_LINK)
        self.run(ip, "link", "set", _INNER_LINK, "up")
        for beyond in (net.pods, net.services):
            _run([ip, "route", "add", str(beyond), "via", str(net.node), "dev", net.link])


def _remove_abandoned() -> None:
    folders = {
        path.name: path for place in (_MEMORY, Path(tempfile.gettempdir())) for path in place.glob(f"{_PREFIX}*")
    }
    for name in folders.keys() | Cgroups.names(f"{_PREFIX}*"):
        owner = name.removeprefix(_PREFIX).partition("-")[0]
        if not Path("/proc", owner).exists():
            Cgroups(name).remove()
            if name in folders:
                shutil.rmtree(folders[name])


def _roomy_folder() -> Path | None:
    """Memory where there is plenty: images are written twice and removed again. None is the usual folder."""
    roomy = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM and _available_memory() > _ROOM
    return _MEMORY if roomy else None


def _available_memory() -> int:
    """Bytes."""
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024


def _run(command: list[str], *, stdin: IO[bytes] | None = None) -> str:
    done = subprocess.run(  # noqa: S603 - our own commands
        command, stdin=stdin or subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise CommandFailed(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}".rstrip())
    return done.stdout
