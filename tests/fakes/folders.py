"""Where tests keep databases."""

from __future__ import annotations

import shutil
from pathlib import Path

_MEMORY = Path("/dev/shm")
_ROOM_FOR_DATABASES = 4 * 1024**3


def database_folder() -> Path | None:
    """The folder to make temporary folders for databases in; None is the machine's usual one.

    Never pytest's own: each session of pytest closes that to other users, and for root Postgres runs as one. In memory
    where there is room: making a database is mostly waiting for the disk.
    """
    roomy = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM_FOR_DATABASES
    return _MEMORY if roomy else None
