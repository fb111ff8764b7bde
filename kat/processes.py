"""One part of the platform as a child process: start it, wait until it is ready, stop it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

_POLL_SECONDS: Final = 0.1
_LOG_TAIL_LINES: Final = 15


class PartFailed(Exception):
    """A part ended by itself, or was not ready in time. The message holds the end of its log."""


@dataclass
class Part:
    """A child process that serves HTTP. Its output goes to a log file.

    The child leads a process group of its own, so that a Ctrl-C in the terminal reaches only the parent, which then
    stops the parts in order.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    log: Path
    ready_url: str
    verify: ssl.SSLContext | bool = True
    """Whom to trust where `ready_url` is https; True is whom the machine trusts."""
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was never started"  # noqa: S101 - a fault of the caller
        return self._process.pid

    def start(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own commands
                self.argv,
                env={**os.environ, **self.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait_ready(self, *, timeout: float, progress: Callable[[str], None] = lambda _line: None) -> None:
        """Return once `ready_url` answers 200; hand the latest log line to `progress` meanwhile.

        Raises PartFailed when the process ends first, or after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        with httpx.Client(timeout=5, verify=self.verify) as client:
            while not self._answers(client):
                if not self.alive():
                    raise PartFailed(f"{self.name} ended with exit code {self._exit_code()}:\n{self.log_tail()}")
                if time.monotonic() > deadline:
                    raise PartFailed(f"{self.name} was not ready within {timeout:.0f} s:\n{self.log_tail()}")
                progress(self.log_tail(1))
                time.sleep(_POLL_SECONDS)

    def stop(self, *, timeout: float) -> int:
        """SIGTERM, then SIGKILL after `timeout` seconds. The exit code; 0 where it never ran."""
        if self._process is None:
            return 0
        if self.alive():
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
        return self._exit_code()

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def log_tail(self, lines: int = _LOG_TAIL_LINES) -> str:
        with contextlib.suppress(FileNotFoundError), self.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 16_384))
            return "\n".join(log.read().decode(errors="replace").strip().splitlines()[-lines:])
        return ""

    def _answers(self, client: httpx.Client) -> bool:
        try:
            return client.get(self.ready_url).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def _exit_code(self) -> int:
        assert self._process is not None  # noqa: S101 - callers start first
        return self._process.returncode


def port_or_free(wanted: int) -> int:
    """The wanted port of the loopback address, or a free one where that is taken or 0."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            bound: int = probe.getsockname()[1]
            return bound
    raise OSError("no free port on 127.0.0.1")
