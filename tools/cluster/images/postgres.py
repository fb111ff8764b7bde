"""Debian's Postgres as an image that the chart's trial database takes in the place of docker.io/library/postgres."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tools.cluster.images.archive import Image
from tools.cluster.images.debian import SOURCE, Say, debian, on_top, silent
from tools.cluster.images.layer import key_of

NAME: Final = "postgres:local"
_USER: Final = "999:999"
"""Of the official image: what a volume holds belongs to it."""
_HERE: Final = Path(__file__).parent
_INSTALL: Final = _HERE / "postgres_install.sh"
_ENTRYPOINT: Final = _HERE / "postgres_entrypoint.sh"


def postgres(*, say: Say = silent) -> Image:
    """Postgres 15. It understands POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB and PGDATA as the official one does."""
    bottom = debian(say)
    command = [f"{SOURCE}/tools/cluster/images/{_INSTALL.name}"]
    layer = on_top([bottom], "postgres", command, key=key_of(bottom.digest, _INSTALL, _ENTRYPOINT), say=say)
    return Image(
        name=NAME,
        layers=[bottom, layer],
        entrypoint=["/usr/local/bin/entrypoint"],
        environment={"PATH": "/usr/lib/postgresql/15/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
        user=_USER,
        # As the official image has it. On SIGTERM it would wait for its clients to leave, and metering's never do.
        stop_signal="SIGINT",
    )
