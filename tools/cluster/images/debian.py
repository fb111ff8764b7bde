"""Debian's files, which most images begin with, and what a command adds to them. All layers are cached."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from tools.cluster.errors import Unavailable
from tools.cluster.images.layer import Layer, cache_folder, cached, key_of, run

REPOSITORY: Final = Path(__file__).parents[3]
SOURCE: Final = "/mnt/source"
"""Where a layer's command finds the repository."""
_IN_ROOT: Final = Path(__file__).with_name("in_root.sh")
_PRIVATE: Final = (
    "unshare",
    "--mount",
    "--pid",
    "--ipc",
    "--fork",
    "--kill-child=KILL",
    "--propagation",
    "private",
    "--",
)
_SCRIPT: Final = """\
set -euo pipefail
tree=$1
debootstrap --variant=minbase --include=python3,ca-certificates bookworm "$tree"
chroot "$tree" groupadd --gid 1000 kat
chroot "$tree" useradd --uid 1000 --gid 1000 --home-dir /var/lib/kat --create-home kat
rm -rf "$tree"/var/cache/apt/* "$tree"/var/lib/apt/lists/* "$tree"/usr/share/{doc,info,locale,man}/* "$tree"/dev/*
"""

Say = Callable[[str], None]
"""Hears what takes long."""


def silent(_line: str) -> None:
    """Say nothing."""


def image_cache() -> Path:
    """The folder of all layers."""
    return cache_folder() / "images"


def debian(say: Say = silent) -> Layer:
    """Debian 12 with Python, and a user 1000."""

    def make(tree: Path) -> None:
        say("image base: debootstrap (once; half a minute)")
        run([*_PRIVATE, "bash", "-c", _SCRIPT, "base", tree])

    return cached(image_cache(), "base", key_of(_SCRIPT), make)


def on_top(
    below: Sequence[Layer],
    name: str,
    command: Sequence[str],
    *,
    key: str,
    say: Say,
    env: Mapping[str, str] | None = None,
    finish: Callable[[Path], None] = lambda _tree: None,
) -> Layer:
    """What a command adds to the layers below, run in them as root; see in_root.sh for what it finds there.

    Args:
        below: from the lowest on.
        name: the layer's, in the cache.
        command: a command line.
        key: a hash of all that decides what the command makes.
        say: hears how long it took, where it was not cached.
        env: more of its environment.
        finish: does the rest to the tree, from outside.
    """

    def make(tree: Path) -> None:
        began = time.monotonic()
        scratch = tree.parent / "scratch"
        scratch.mkdir()
        lower = ":".join(str(layer.tree) for layer in reversed(below))
        places: list[str | Path] = [lower, tree, scratch, REPOSITORY, *uv()]
        run([*_PRIVATE, _IN_ROOT, *places, *command], env=dict(env or {}))
        shutil.rmtree(scratch)
        finish(tree)
        say(f"image layer {name}: made in {time.monotonic() - began:.0f} s")

    return cached(image_cache(), name, key, make)


def uv() -> tuple[Path, Path]:
    """The uv command, and its cache, which spares the downloads. Raises Unavailable."""
    found = shutil.which("uv") or shutil.which("uv", path=str(REPOSITORY / ".uv" / "bin"))
    if not found:
        raise Unavailable("images are installed by uv: `make install` puts it into .uv/")
    cache = subprocess.run([found, "cache", "dir"], check=True, capture_output=True, text=True)  # noqa: S603
    folder = Path(cache.stdout.strip())
    folder.mkdir(parents=True, exist_ok=True)
    return Path(found).resolve(), folder
